import Foundation
import Media
import TestSupport
import Testing

private func big(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

private func chunk(_ kind: String, _ data: [UInt8], length: UInt32? = nil) -> [UInt8] {
    let body = Array(kind.utf8) + data
    return big(length ?? UInt32(data.count)) + body + big(MediaGoldens.crc32(body))
}

private let pngMagic: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

private func pngHeader(_ width: UInt32, _ height: UInt32, depth: UInt8 = 8, colour: UInt8 = 2) -> [UInt8] {
    pngMagic + chunk("IHDR", big(width) + big(height) + [depth, colour, 0, 0, 0])
}

private func jpegHeader(_ width: UInt16, _ height: UInt16, bits: UInt8 = 8, components: UInt8 = 3) -> [UInt8] {
    let frame =
        [bits] + big(height) + big(width) + [components] + (1...components).flatMap { [$0, 0x11, 0] as [UInt8] }
    return [0xFF, 0xD8, 0xFF, 0xC0] + big(UInt16(frame.count + 2)) + frame
}

private func golden(_ name: String) -> Data {
    (try? Data(contentsOf: MediaGoldens.folder.appending(path: "pictures/\(name)"))) ?? Data()
}

/// Bad pictures: each a clear error, none a crash, none a lot of memory.
@Suite struct HostileImageTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: Data
        let code: MediaError.Code
        /// The error must say this; of the libraries' own words, which vary, only a part.
        let says: String

        init(_ name: String, _ bytes: some Sequence<UInt8>, _ code: MediaError.Code, _ says: String) {
            (testDescription, self.bytes, self.code, self.says) = (name, Data(bytes), code, says)
        }
    }

    static let remedy = "convert it to PNG or JPEG"
    static let early = "the data ends too early; export or download the picture again"
    static let tooLarge = "expected at most 178956970 pixels, 1000000 to a side, found"

    static let cases = [
        Case("empty", [], .empty, "expected PNG or JPEG, found no bytes"),
        Case("text", Data("no picture".utf8), .unsupported, "expected PNG or JPEG, found neither"),
        Case("GIF", Data("GIF89a".utf8), .unsupported, "expected PNG or JPEG, found GIF; \(remedy)"),
        Case("WebP", Data("RIFF\0\0\0\0WEBPVP8 ".utf8), .unsupported, "found WebP; \(remedy)"),
        Case("HEIC", Data("\0\0\0\u{18}ftypheic\0\0\0\0".utf8), .unsupported, "found HEIC; \(remedy)"),
        Case("AVIF", Data("\0\0\0\u{18}ftypavif\0\0\0\0".utf8), .unsupported, "found AVIF; \(remedy)"),
        Case("BMP", Data("BM\0\0".utf8), .unsupported, "found BMP; \(remedy)"),
        Case("TIFF", Data("II*\0".utf8), .unsupported, "found TIFF; \(remedy)"),
        Case("big-endian TIFF", Data("MM\0*".utf8), .unsupported, "found TIFF; \(remedy)"),
        Case("PDF", Data("%PDF-1.7".utf8), .unsupported, "found PDF; \(remedy)"),
        Case("sound", wavFile([0, 0]), .unsupported, "expected PNG or JPEG, found neither"),

        Case("PNG magic alone", pngMagic, .truncated, "expected a whole PNG file, found \(early)"),
        Case("PNG without data", pngHeader(8, 8), .truncated, early),
        Case(
            "PNG bomb", pngHeader(60_000, 60_000) + chunk("IDAT", []), .tooLarge,
            "\(tooLarge) 60000×60000; scale the picture down"),
        Case(
            "PNG of the format's limit", pngHeader(~0 >> 1, ~0 >> 1) + chunk("IDAT", []), .tooLarge,
            "\(tooLarge) 2147483647×"),
        Case("PNG of one row", pngHeader(1_000_001, 1) + chunk("IDAT", []), .tooLarge, "\(tooLarge) 1000001×1;"),
        Case("PNG of no width", pngHeader(0, 8), .malformed, "Invalid IHDR data"),
        Case("PNG of negative width", pngHeader(0xFFFF_FFFF, 8), .malformed, "expected a whole PNG file"),
        Case("PNG of 3 bits", pngHeader(8, 8, depth: 3), .malformed, "Invalid IHDR data"),
        Case("PNG without palette", pngHeader(8, 8, colour: 3) + chunk("IDAT", []), .malformed, "Missing PLTE"),
        Case("PNG chunk too long", pngHeader(8, 8) + chunk("iCCP", [], length: 0x7FFF_FFFF), .truncated, early),
        Case(
            "PNG chunk far too long", pngHeader(8, 8) + chunk("IDAT", [], length: 0xFFFF_FFFF), .malformed,
            "expected a whole"),
        Case(
            "PNG not deflated", pngHeader(8, 8) + chunk("IDAT", [1, 2, 3, 4]), .malformed, "expected a whole PNG file"),
        Case("PNG header damaged", pngHeader(8, 8).dropLast() + [0], .malformed, "CRC error"),
        Case("PNG cut", golden("rgb8.png").prefix(400), .truncated, early),
        Case("PNG cut in interlaced alpha", golden("rgba8-interlaced.png").prefix(400), .truncated, early),

        Case("JPEG magic alone", [0xFF, 0xD8, 0xFF], .truncated, "expected a whole JPEG file, found \(early)"),
        Case("JPEG without data", jpegHeader(8, 8), .truncated, early),
        Case("JPEG bomb", jpegHeader(65_000, 65_000) + scan, .tooLarge, "\(tooLarge) 65000×65000"),
        Case("JPEG too wide", jpegHeader(65_535, 1) + scan, .malformed, "Maximum supported image dimension"),
        Case("JPEG of no height", jpegHeader(8, 0) + scan, .malformed, "Empty JPEG image"),
        Case("JPEG of 12 bits", jpegHeader(8, 8, bits: 12) + scan, .malformed, "expected a whole JPEG file"),
        Case(
            "JPEG of two channels", jpegHeader(8, 8, components: 2) + scan(of: 2), .unsupported,
            "channels is not 1, 3 or 4"),
        Case("JPEG without tables", jpegHeader(8, 8) + scan, .malformed, "Quantization table"),
        Case("JPEG cut", golden("444.jpg").prefix(900), .truncated, early),
        Case("progressive JPEG cut", golden("progressive.jpg").prefix(900), .truncated, early),
        Case("CMYK JPEG cut", golden("cmyk.jpg").prefix(900), .truncated, early),
        Case("JPEG of 600 scans", manyScans, .malformed, "more than 500 scans"),
    ]

    private static let scan = scan(of: 3)

    private static func scan(of components: UInt8) -> [UInt8] {
        [0xFF, 0xDA] + big(UInt16(6 + 2 * Int(components))) + [components]
            + (1...components).flatMap { [$0, 0] as [UInt8] } + [0, 63, 0, 0xFF, 0xD9]
    }

    /// A progressive file whose first scan is repeated.
    private static var manyScans: Data {
        let file = golden("grey-progressive.jpg")
        guard let start = file.firstRange(of: [0xFF, 0xDA])?.lowerBound,
            let end = file[(start + 2)...].firstRange(of: [0xFF, 0xC4])?.lowerBound
        else { return Data() }
        return file[..<start] + (0..<600).flatMap { _ in file[start..<end] } + file[end...]
    }

    @Test(arguments: cases)
    func isRefused(bad: Case) throws {
        let error = try #require(throws: MediaError.self) { try ImageReader().read(bad.bytes, name: "bad.png") }
        #expect(error.code == bad.code)
        #expect(error.description.hasPrefix("bad.png: expected ") && error.description.hasSuffix("."))
        #expect(error.description.contains(bad.says), "\(error)")
    }

    @Test func missingFilesAreNamed() throws {
        let missing = MediaGoldens.folder.appending(path: "missing.png")
        let error = try #require(throws: MediaError.self) { try ImageReader().read(missing) }
        #expect(error.code == .unreadable)
        #expect(error.description.hasPrefix("\(missing.path): expected a readable file, found no such file"))
    }

    @Test func theLimitIsTheCallers() throws {
        let file = golden("rgb8.png")
        #expect(try ImageReader(maxPixels: 19 * 13).read(file).width == 19)
        let error = try #require(throws: MediaError.self) { try ImageReader(maxPixels: 19 * 13 - 1).read(file) }
        #expect(
            error.description
                == "image: expected at most 246 pixels, 1000000 to a side, found 19×13; scale the picture down.")
    }

    /// Wherever a file is cut, the picture is refused.  (Without its last two bytes, the end marker, a JPEG is whole.)
    @Test(arguments: [
        "rgba8-interlaced.png", "grey16-trns.png", "palette4.png", "420.jpg", "progressive.jpg", "cmyk.jpg",
    ])
    func everyPrefixIsRefused(name: String) {
        let file = golden(name)
        #expect(!file.isEmpty)
        for count in 0..<file.count - 2 {
            #expect(throws: MediaError.self, "cut to \(count) of \(file.count) bytes") {
                try ImageReader().read(file.prefix(count))
            }
        }
    }
}
