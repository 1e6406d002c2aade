import Foundation
import Media
import TestSupport
import Testing

private struct Picture: Decodable {
    let width, height: Int
    let crc32: UInt32
    let probes: [[Double]]
}

private let pictures: [String: Picture] = (try? MediaGoldens.load("pictures")) ?? [:]

@Suite struct ImageReaderTests {
    @Test func allKindsOfPicturesAreThere() {
        // 15 kinds of PNG, straight and interlaced, 11 of them with a transparent colour too, 2 turned; 29 JPEGs.
        #expect(pictures.keys.filter { $0.hasSuffix(".png") }.count == 2 * (15 + 11) + 2)
        #expect(pictures.keys.filter { $0.hasSuffix(".jpg") }.count == 29)
    }

    /// Byte for byte what Pillow reads (or, for 16-bit grey and reduced transparent colours, what the PNG
    /// specification says; see `ImageReader`).
    @Test(arguments: pictures.keys.sorted())
    func equalsReference(name: String) throws {
        let expected = try #require(pictures[name])
        let pixels = try ImageReader().read(MediaGoldens.folder.appending(path: "pictures/\(name)"))
        #expect(pixels.width == expected.width && pixels.height == expected.height)
        for probe in expected.probes { #expect(Double(pixels.rgb[Int(probe[0])]) == probe[1], "at \(probe[0])") }
        #expect(MediaGoldens.crc32(pixels.rgb) == expected.crc32)
    }
}
