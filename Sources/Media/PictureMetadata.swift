import CImageDecoding
import Foundation

/// The metadata of an image that hold its orientation: EXIF and XMP, wherever the format stores them.
///
/// Source: Pillow 13.0, `Image.getexif` and the plugins of the formats.
struct PictureMetadata {
    /// In the layout of a TIFF file.
    var exif: Data?
    var xmp: Data?

    init(_ bytes: Data, _ format: MediaFormat) {
        switch format {
        case .jpeg: readJPEG(bytes)
        case .png: readPNG(bytes)
        case .webp: readWebP(bytes)
        case .converted(.tiff):
            exif = bytes
            xmp = TIFFDirectory(bytes)?.bytes(700)
        // heif-convert has applied the orientation, and the other formats have none.
        case .converted, .other, .unknown: break
        }
        for _ in 0..<2 { if let stripped = exif?.removing(Self.prefix) { exif = stripped } }  // at times doubled
    }

    private static let prefix = Data("Exif\0\0".utf8)

    /// The APP1 segments before the first scan. EXIF that exceeds one segment continues in the next; the last of
    /// several XMP packets wins.
    private mutating func readJPEG(_ bytes: Data) {
        var place = 2
        while let head = bytes.slice(at: place, count: 4)?.map(Int.init), head[0] == 0xFF, head[1] != 0xDA {
            if head[1] == 0xFF {  // a fill byte
                place += 1
                continue
            }
            let length = head[2] << 8 | head[3]  // includes its own two bytes
            if head[1] == 0xE1, length >= 8, let segment = bytes.slice(at: place + 4, count: length - 2) {
                if let record = segment.removing(Self.prefix) {
                    exif = (exif ?? Data()) + record
                } else if let packet = segment.removing(Data("http://ns.adobe.com/xap/1.0/\0".utf8)) {
                    xmp = packet
                }
            }
            place += 2 + length
        }
    }

    /// The eXIf chunk and text chunks, before and after the image data. ImageMagick writes EXIF as a hexadecimal "raw
    /// profile" text.
    private mutating func readPNG(_ bytes: Data) {
        var profile: Data?
        var place = 8
        while let head = bytes.slice(at: place, count: 8) {
            let length = head.prefix(4).bigEndianValue
            guard let body = bytes.slice(at: place + 8, count: length) else { break }
            place += 12 + length
            switch String(decoding: head.suffix(4), as: Unicode.ASCII.self) {
            case "IEND": place = bytes.count
            case "eXIf": exif = body
            case let kind:
                guard let (key, text) = Self.text(body, kind) else { continue }
                switch key {
                case "exif" where kind == "tEXt": exif = text
                case "Raw profile type exif": profile = text
                case "XML:com.adobe.xmp": xmp = text
                default: break
                }
            }
        }
        if exif == nil { exif = profile.flatMap(Self.rawProfile) }
    }

    /// Keyword and text of a PNG text chunk; nil for other chunks, and if it does not inflate within 1 MiB.
    private static func text(_ body: Data, _ kind: String) -> (key: String, text: Data)? {
        guard ["tEXt", "zTXt", "iTXt"].contains(kind), let end = body.prefix(80).firstIndex(of: 0) else { return nil }
        let key = String(decoding: body[..<end], as: Unicode.ASCII.self)
        guard ["exif", "Raw profile type exif", "XML:com.adobe.xmp"].contains(key) else { return nil }
        var rest = body[(end + 1)...]
        var isCompressed = kind == "zTXt"
        if kind == "iTXt" {  // flag, method, language, keyword in that language
            guard let flags = rest.slice(at: 0, count: 2)?.map(Int.init) else { return nil }
            isCompressed = flags[0] != 0
            if isCompressed, flags[1] != 0 { return nil }
            rest = rest.dropFirst(2)
            for _ in 0..<2 {
                guard let zero = rest.firstIndex(of: 0) else { return nil }
                rest = rest[(zero + 1)...]
            }
        } else if isCompressed {
            guard rest.popFirst() == 0 else { return nil }
        }
        guard isCompressed else { return (key, rest) }
        return inflated(rest).map { (key, $0) }
    }

    private static func inflated(_ bytes: Data) -> Data? {
        let text = [UInt8](unsafeUninitializedCapacity: 1 << 20) { text, count in
            count = bytes.withUnsafeBytes {
                image_inflate($0.bindMemory(to: UInt8.self).baseAddress, bytes.count, text.baseAddress, text.count)
            }
        }
        return text.isEmpty ? nil : Data(text)
    }

    /// Decodes the lines "\nexif\n      1234\n45786966…".
    private static func rawProfile(_ text: Data) -> Data? {
        let lines = text.split(separator: 0x0A, omittingEmptySubsequences: false).dropFirst(3)
        let digits = lines.joined().filter { !Unicode.Scalar($0).properties.isWhitespace }
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes = Data(capacity: digits.count / 2)
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place..<place + 2], as: Unicode.ASCII.self), radix: 16)
            else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }

    private mutating func readWebP(_ bytes: Data) {
        var place = 12
        while let head = bytes.slice(at: place, count: 8) {
            let length = head.suffix(4).littleEndianValue
            guard let body = bytes.slice(at: place + 8, count: length) else { return }
            switch String(decoding: head.prefix(4), as: Unicode.ASCII.self) {
            case "EXIF" where exif == nil: exif = body
            case "XMP " where xmp == nil: xmp = body
            default: break
            }
            place += 8 + length + length % 2
        }
    }
}

extension Data {
    /// The data after `prefix`; nil if it does not begin with it.
    fileprivate func removing(_ prefix: Data) -> Data? { starts(with: prefix) ? dropFirst(prefix.count) : nil }
}
