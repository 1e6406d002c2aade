import Foundation
import TestSupport
import Testing

@testable import Media

private struct Picture: Decodable {
    let width, height: Int
    let crc32: UInt32
    let probes: [[Double]]
}

private let hasConverters =
    (try? ExternalProgram("ffmpeg", for: "")) != nil
    && (try? ExternalProgram("heif-convert", "heif-dec", for: "", reads: "")) != nil

/// Formats decoded by programs on the PATH.
private let converted = ["gif", "bmp", "tif", "avif", "heic"]

private let pictures: [String: Picture] = (try? MediaGoldens.load("pictures")) ?? [:]

@Suite struct ImageReaderTests {
    @Test func allKindsOfPicturesAreThere() {
        // 15 kinds of PNG, straight and interlaced, 11 of them with a transparent color too.
        #expect(
            pictures.keys.filter { $0.wholeMatch(of: /[a-z]+\d+(-trns)?(-interlaced)?\.png/) != nil }.count >= 2
                * (15 + 11))
        let counts = ["png": 63, "jpg": 60, "webp": 12, "gif": 5, "bmp": 4, "tif": 11, "avif": 4, "heic": 3]
        for (suffix, count) in counts {
            #expect(pictures.keys.count { $0.hasSuffix(".\(suffix)") } == count, "\(suffix)")
        }
    }

    /// Byte for byte equal to Pillow (or, for 16-bit gray and reduced transparent colors, to the PNG specification; see
    /// `ImageReader`).
    @Test(arguments: pictures.keys.filter { name in !converted.contains { name.hasSuffix($0) } }.sorted())
    func equalsReference(name: String) throws {
        let expected = try #require(pictures[name])
        let pixels = try ImageReader().read(MediaGoldens.folder.appending(path: "pictures/\(name)"))
        #expect(pixels.width == expected.width && pixels.height == expected.height)
        for probe in expected.probes { #expect(Double(pixels.rgb[Int(probe[0])]) == probe[1], "at \(probe[0])") }
        #expect(MediaGoldens.crc32(pixels.rgb) == expected.crc32)
    }

    /// The formats decoded by programs: palettes, gray and alpha too, byte for byte. AVIF and HEIC, whose colors each
    /// decoder converts differently, within 3 of 255.
    @Test(
        .enabled(if: hasConverters),
        arguments: pictures.keys.filter { name in converted.contains { name.hasSuffix($0) } }.sorted())
    func convertedEqualsReference(name: String) throws {
        let expected = try #require(pictures[name])
        let pixels = try ImageReader().read(MediaGoldens.folder.appending(path: "pictures/\(name)"))
        #expect(pixels.width == expected.width && pixels.height == expected.height)
        let isLossy = name.hasSuffix("avif") || name.hasSuffix("heic")
        for probe in expected.probes {
            #expect(abs(Double(pixels.rgb[Int(probe[0])]) - probe[1]) <= (isLossy ? 3 : 0), "at \(probe[0])")
        }
        if !isLossy { #expect(MediaGoldens.crc32(pixels.rgb) == expected.crc32) }
    }

    /// From memory, under a name of another kind, and from a folder with a name that means something to ffmpeg.
    @Test(.enabled(if: hasConverters), arguments: ["plain.gif", "lzw.tif", "444.heic", "rgb.bmp"])
    func convertedAreKnownByContent(name: String) throws {
        let file = MediaGoldens.folder.appending(path: "pictures/\(name)")
        let bytes = try Data(contentsOf: file)
        let pixels = try ImageReader().read(file)
        #expect(try ImageReader().read(bytes) == pixels)
        let directory = try TemporaryDirectory()
        for other in ["frame%03d.png", "-v.jpg", "a:b.webp"] {
            let path = try directory.write(bytes, to: other)
            #expect(try ImageReader().read(URL(filePath: path)) == pixels)
        }
    }

    /// Half a picture does not pass for a whole one.
    @Test(
        .enabled(if: hasConverters), arguments: ["plain.gif", "lzw.tif", "rgb.tif", "444.heic", "444.avif", "rgb.bmp"])
    func halvesAreRefused(name: String) throws {
        let bytes = try Data(contentsOf: MediaGoldens.folder.appending(path: "pictures/\(name)"))
        let error = try #require(throws: MediaError.self) { try ImageReader().read(bytes.prefix(bytes.count / 2)) }
        #expect([.malformed, .truncated].contains(error.code), "\(error)")
    }

    /// A missing program is reported with its package.
    @Test(arguments: [
        (
            ["ffmpeg"], "GIF", ("ffmpeg", "ffmpeg"),
            "expected ffmpeg on the PATH, which reads GIF, found none; install it with: apt-get install ffmpeg"
        ),
        (
            ["heif-convert", "heif-dec"], "HEIC", ("libheif-examples", "libheif"),
            "expected heif-convert on the PATH, which reads HEIC, found none; install it with: apt-get install libheif-examples, or: brew install libheif"
        ),
    ])
    func aMissingProgramIsNamed(names: [String], kind: String, packages: (String, String), message: String) throws {
        let error = try #require(throws: MediaError.self) {
            try ExternalProgram(names[0], for: "a", reads: kind, packages: packages, path: "/nowhere")
        }
        #expect(error.code == .missingProgram && error.description.contains(message), "\(error)")
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
