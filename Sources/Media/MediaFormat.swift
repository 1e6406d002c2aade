import Foundation

/// The format of a file by its first bytes; the file name is not used.
enum MediaFormat: Equatable {
    case png
    case jpeg
    case webp
    /// An image that a program on the PATH decodes.
    case converted(PictureConverter.Format)
    /// A format that is recognized but not decoded as an image.
    case other(String)
    case unknown

    init(_ bytes: Data) {
        let head = [UInt8](bytes.prefix(Self.headLength))
        func has(_ text: String, at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        func has(_ magic: [UInt8]) -> Bool { head.starts(with: magic) }
        if has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if has([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if has("RIFF"), has("WEBP", at: 8) {
            self = .webp
        } else if let format = Self.converted(head, has: has) {
            self = .converted(format)
        } else if let name = Self.otherPicture(has: has) ?? Self.container(head, has: has) {
            self = .other(name)
        } else {
            self = .unknown
        }
    }

    /// Nil if unknown.
    var name: String? {
        switch self {
        case .png: "PNG"
        case .jpeg: "JPEG"
        case .webp: "WebP"
        case .converted(let format): format.name
        case .other(let name): name
        case .unknown: nil
        }
    }

    /// Enough for the brands of an ISO media file.
    static let headLength = 64

    private static func converted(_ head: [UInt8], has: (String, Int) -> Bool) -> PictureConverter.Format? {
        if has("GIF87a", 0) || has("GIF89a", 0) { return .gif }
        // "BM" begins words too, so the length of the DIB header must be valid.
        if has("BM", 0), head.count >= 18, (12...124).contains(head[14]), head[15...17] == [0, 0, 0] { return .bmp }
        // 43: BigTIFF.
        let tiffs =
            [[0x49, 0x49, 42, 0], [0x4D, 0x4D, 0, 42], [0x49, 0x49, 43, 0], [0x4D, 0x4D, 0, 43]] as [[UInt8]]
        if tiffs.contains(where: head.starts) { return .tiff }
        guard has("ftyp", 4), head.count >= 16 else { return nil }
        // The major brand, then the compatible brands; a general brand says neither HEIC nor AVIF.
        let length = min(head.count, Int(head[2]) << 8 | Int(head[3]))
        let places = [8] + stride(from: 16, through: length - 4, by: 4)
        let brands = places.map { String(decoding: head[$0..<$0 + 4], as: Unicode.ASCII.self) }
        if brands.contains(where: ["avif", "avis"].contains) { return .avif }
        if brands.contains(where: ["heic", "heix", "heim", "heis", "hevc", "hevx"].contains) { return .heic }
        return ["mif1", "msf1", "heif"].contains(brands[0]) ? .heic : nil
    }

    private static func otherPicture(has: (String, Int) -> Bool) -> String? {
        let magics: [(String, String)] = [
            ("8BPS", "Photoshop"), ("\0\0\0\u{0C}JXL ", "JPEG XL"), ("\0\0\0\u{0C}jP  ", "JPEG 2000"), ("%PDF", "PDF"),
            ("<svg", "SVG"),
        ]
        return magics.first { has($0.0, 0) }?.1
    }

    /// ISO media files name their kind in a brand after `ftyp`; Matroska and MPEG-TS have their own magic numbers.
    private static func container(_ head: [UInt8], has: (String, Int) -> Bool) -> String? {
        if head.starts(with: [0x1A, 0x45, 0xDF, 0xA3]) { return "Matroska or WebM" }
        guard has("ftyp", 4) else { return nil }
        return has("M4A", 8) ? "M4A (AAC)" : "MP4"
    }
}
