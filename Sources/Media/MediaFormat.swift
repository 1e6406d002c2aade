import Foundation

/// What a file is by its first bytes; its name is never asked.
enum MediaFormat: Equatable {
    case png
    case jpeg
    /// A format we know by name but do not read as a picture.
    case other(String)
    case unknown

    init(_ bytes: Data) {
        let head = [UInt8](bytes.prefix(32))
        func has(_ text: String, at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        func has(_ magic: [UInt8]) -> Bool { head.starts(with: magic) }
        if has([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
            self = .png
        } else if has([0xFF, 0xD8, 0xFF]) {
            self = .jpeg
        } else if let name = Self.otherPicture(has: has) ?? Self.container(head, has: has) {
            self = .other(name)
        } else {
            self = .unknown
        }
    }

    private static func otherPicture(has: (String, Int) -> Bool) -> String? {
        if has("RIFF", 0) && has("WEBP", 8) { return "WebP" }
        let magics: [(String, String)] = [
            ("GIF8", "GIF"), ("BM", "BMP"), ("II*\0", "TIFF"), ("MM\0*", "TIFF"), ("8BPS", "Photoshop"),
            ("\0\0\0\u{0C}JXL ", "JPEG XL"), ("\0\0\0\u{0C}jP  ", "JPEG 2000"), ("%PDF", "PDF"), ("<svg", "SVG"),
        ]
        return magics.first { has($0.0, 0) }?.1
    }

    /// ISO media files name their kind in a brand after `ftyp`; Matroska and MPEG-TS have a magic of their own.
    private static func container(_ head: [UInt8], has: (String, Int) -> Bool) -> String? {
        if head.starts(with: [0x1A, 0x45, 0xDF, 0xA3]) { return "Matroska or WebM" }
        guard has("ftyp", 4) else { return nil }
        if ["heic", "heix", "heif", "hevc", "mif1", "msf1"].contains(where: { has($0, 8) }) { return "HEIC" }
        if has("avif", 8) || has("avis", 8) { return "AVIF" }
        return has("M4A", 8) ? "M4A (AAC)" : "MP4"
    }
}
