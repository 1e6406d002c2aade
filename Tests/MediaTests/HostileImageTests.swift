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

private func jpegHeader(
    _ width: UInt16, _ height: UInt16, bits: UInt8 = 8, components: UInt8 = 3, marker: UInt8 = 0xC0
) -> [UInt8] {
    let frame =
        [bits] + big(height) + big(width) + [components] + (1...components).flatMap { [$0, 0x11, 0] as [UInt8] }
    return [0xFF, 0xD8, 0xFF, marker] + big(UInt16(frame.count + 2)) + frame
}

private func bitmapHeader(_ width: Int32, _ height: Int32) -> [UInt8] {
    Array("BM".utf8) + little(54 as UInt32) + little(0 as UInt32) + little(54 as UInt32) + little(40 as UInt32)
        + little(width) + little(height) + little(1 as UInt16) + little(24 as UInt16) + [UInt8](repeating: 0, count: 24)
}

private func tiffHeader(_ width: UInt32, _ height: UInt32, _ others: (tag: UInt16, value: UInt32)...) -> [UInt8] {
    func entry(_ tag: UInt16, _ value: UInt32) -> [UInt8] {
        big(tag) + big(4 as UInt16) + big(1 as UInt32) + big(value)
    }
    return Array("MM\0*".utf8) + big(8 as UInt32) + big(UInt16(others.count + 2)) + entry(256, width)
        + entry(257, height) + others.flatMap { entry($0.tag, $0.value) } + big(0 as UInt32)
}

private func heifHeader(_ width: UInt32, _ height: UInt32) -> [UInt8] {
    func box(_ kind: String, _ body: [UInt8]) -> [UInt8] { big(UInt32(body.count + 8)) + Array(kind.utf8) + body }
    let size = box("ispe", [0, 0, 0, 0] + big(width) + big(height))
    return box("ftyp", Array("avif\0\0\0\0".utf8))
        + box("meta", [0, 0, 0, 0] + box("iprp", box("ipco", box("ispe", [0, 0, 0, 0] + big(8) + big(8)) + size)))
}

/// The extended header, whose fields have 24 bits, one less than they mean.
private func webpHeader(_ width: UInt32, _ height: UInt32) -> [UInt8] {
    let body =
        Array("WEBPVP8X".utf8) + little(10 as UInt32) + [0, 0, 0, 0] + little(width - 1).prefix(3)
        + little(height - 1).prefix(3)
    return Array("RIFF".utf8) + little(UInt32(body.count)) + body
}

private func golden(_ name: String) -> Data {
    (try? Data(contentsOf: MediaGoldens.folder.appending(path: "pictures/\(name)"))) ?? Data()
}

/// Malformed images: each gives a clear error, without a crash or excessive memory.
@Suite struct HostileImageTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let bytes: Data
        let code: MediaError.Code
        /// Expected part of the message; of the libraries' messages, which vary, only a part.
        let says: String

        init(_ name: String, _ bytes: some Sequence<UInt8>, _ code: MediaError.Code, _ says: String) {
            (testDescription, self.bytes, self.code, self.says) = (name, Data(bytes), code, says)
        }
    }

    static let kinds = "expected a picture (PNG, JPEG, WebP, GIF, BMP, TIFF, HEIC, AVIF), found"
    static let sizeless = "file, found one without a size; export or download the picture again"
    static let early = "the data ends too early; export or download the picture again"
    static let tooLarge = "expected at most 178956970 pixels, 1000000 to a side, found"

    static let cases = [
        Case("empty", [], .empty, "\(kinds) no bytes"),
        Case("text", Data("no picture".utf8), .unsupported, "\(kinds) none"),
        Case("GIF", Data("GIF89a".utf8), .malformed, "expected a whole GIF \(sizeless)"),
        Case("HEIC", Data("\0\0\0\u{18}ftypheic\0\0\0\0".utf8), .malformed, "expected a whole HEIC \(sizeless)"),
        Case("AVIF", Data("\0\0\0\u{18}ftypavif\0\0\0\0".utf8), .malformed, "expected a whole AVIF \(sizeless)"),
        Case("BMP", bitmapHeader(8, 0), .malformed, "expected a whole BMP \(sizeless)"),
        Case("TIFF", Data("II*\0".utf8), .malformed, "expected a whole TIFF \(sizeless)"),
        Case("big-endian TIFF", Data("MM\0*".utf8), .malformed, "expected a whole TIFF \(sizeless)"),
        Case(
            "BigTIFF", Data("II\u{2B}\0\u{08}\0\0\0".utf8), .unsupported,
            "of at most 16 bits, in RGB, grey or with a palette, found BigTIFF; convert it to PNG"),
        Case("TIFF of tiles", tiffHeader(8, 8, (322, 16)), .unsupported, "found tiles; convert it to PNG"),
        Case("TIFF in JPEG", tiffHeader(8, 8, (259, 7)), .unsupported, "found compression 7; convert it to PNG"),
        Case("TIFF in CMYK", tiffHeader(8, 8, (262, 5)), .unsupported, "found colors of kind 5; convert it to PNG"),
        Case("TIFF of 12 bits", tiffHeader(8, 8, (258, 12)), .unsupported, "found 12 bits a sample"),
        Case("TIFF of floats", tiffHeader(8, 8, (258, 16), (339, 3)), .unsupported, "found signed or floating-point"),
        Case("TIFF of premultiplied alpha", tiffHeader(8, 8, (258, 8), (338, 1)), .unsupported, "premultiplied alpha"),
        Case("TIFF of the other order", tiffHeader(8, 8, (266, 2)), .unsupported, "found bits in the other order"),
        Case("PDF", Data("%PDF-1.7".utf8), .unsupported, "expected a picture, found PDF; convert it to PNG or JPEG"),
        Case("sound", wavFile([0, 0]), .unsupported, "\(kinds) none"),
        Case("GIF bomb", Data("GIF89a\u{7F}\u{7F}\u{7F}\u{7F}\0\0\0".utf8), .tooLarge, "\(tooLarge) 32639×32639"),
        Case("BMP bomb", bitmapHeader(60_000, 60_000), .tooLarge, "\(tooLarge) 60000×60000"),
        Case("BMP of the other direction", bitmapHeader(60_000, -60_000), .tooLarge, "\(tooLarge) 60000×60000"),
        Case("TIFF bomb", tiffHeader(60_000, 60_000), .tooLarge, "\(tooLarge) 60000×60000"),
        Case("AVIF bomb", heifHeader(60_000, 60_000), .tooLarge, "\(tooLarge) 60000×60000"),
        Case("AVIF of the format's limit", heifHeader(~0, ~0), .tooLarge, "\(tooLarge) 4294967295×4294967295"),

        Case("WebP magic alone", Data("RIFF\0\0\0\0WEBP".utf8), .malformed, "expected a whole WebP file"),
        Case("WebP cut", golden("lossy.webp").prefix(200), .truncated, "expected a whole WebP file, found \(early)"),
        Case("WebP bomb", webpHeader(16_383, 16_383), .tooLarge, "\(tooLarge) 16383×16383"),
        Case("WebP of the format's limit", webpHeader(1 << 24, 64), .tooLarge, "\(tooLarge) 16777216×64"),

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
        Case(
            "JPEG of 12 bits", jpegHeader(8, 8, bits: 12) + scan, .unsupported,
            "expected a kind of JPEG that is supported, found Unsupported JPEG data precision 12; convert it to PNG."),
        Case(
            "lossless JPEG", jpegHeader(8, 8, marker: 0xC3) + scan, .unsupported,
            "found Unsupported JPEG process: SOF type 0xc3"),
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

    /// libpng reserves and clears as much memory as a chunk announces; its own limit on that only warns.
    @Test(arguments: ["zTXt", "tEXt", "iTXt", "iCCP", "eXIf", "sPLT", "pCAL", "tRNS", "hIST"])
    func aChunkThatAnnouncesTwoGigabytesTakesNone(kind: String) throws {
        func peakInKilobytes() throws -> Int {
            let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            return Int(line?.split(whereSeparator: \.isWhitespace)[1] ?? "") ?? 0
        }
        let bytes = Data(pngHeader(8, 8) + chunk(kind, Array("key\0\0123".utf8), length: 0x7FFF_FFF0))
        let before = try peakInKilobytes()
        let clock = ContinuousClock()
        var error: MediaError?
        let time = clock.measure { error = #expect(throws: MediaError.self) { try ImageReader().read(bytes) } }
        #expect(error?.code == .truncated, "\(String(describing: error))")
        #expect(try peakInKilobytes() - before < 1 << 20, "kilobytes")  // other tests run meanwhile
        #expect(time < .seconds(0.1))
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
        "lossy.webp",
        "alpha.webp", "animated.webp", "orientation6.webp",
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
