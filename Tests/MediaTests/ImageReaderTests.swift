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

    /// As a shell's `<(command)` hands it over.
    @Test func readsPipes() throws {
        let file = MediaGoldens.folder.appending(path: "pictures/rgb8.png")
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Data(contentsOf: file))
        try pipe.fileHandleForWriting.close()
        let path = URL(filePath: "/dev/fd/\(pipe.fileHandleForReading.fileDescriptor)")
        #expect(try ImageReader().read(path) == ImageReader().read(file))
    }

    @Test(arguments: [(0, 1), (1, 0), (-1, -1), (2, 2), (1, 3), (1 << 62, 1 << 62)])
    func pixelsMustFitTheirSize(width: Int, height: Int) throws {
        #expect(try Pixels(width: 1, height: 2, rgb: [1, 2, 3, 4, 5, 6]).height == 2)
        let error = try #require(throws: MediaError.self) {
            try Pixels(width: width, height: height, rgb: [1, 2, 3, 4, 5, 6])
        }
        #expect(
            error.description
                == "image: expected 3 bytes for each of \(width)×\(height) pixels, found 6 bytes; check the size.")
    }
}
