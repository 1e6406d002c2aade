import Foundation

/// How a stored picture must be turned to stand upright: the value of EXIF's tag 0x0112.
/// Source: CIPA DC-008 (Exif 2.32), 4.6.4 A; TIFF 6.0, section 2, for the layout.
enum Orientation: Int, CaseIterable {
    case upright = 1
    case mirrored, upsideDown, flipped, transposed, clockwise, transversed, counterclockwise

    /// `upright` where the file says nothing, or nothing intelligible.
    init(of bytes: Data, _ format: MediaFormat) {
        let exif =
            switch format {
            case .jpeg: Self.jpegExif(bytes)
            case .png: Self.pngExif(bytes)
            case .other, .unknown: nil as Data?
            }
        self = exif.flatMap(Self.init(exif:)) ?? .upright
    }

    private init?(exif: Data) {
        let little: Bool
        switch exif.prefix(2) {
        case Data("II".utf8): little = true
        case Data("MM".utf8): little = false
        default: return nil
        }
        func number(at offset: Int, bytes: Int) -> Int? {
            guard let field = exif.slice(at: offset, count: bytes) else { return nil }
            return little ? field.reversed().bigEndianValue : field.bigEndianValue
        }
        guard let directory = number(at: 4, bytes: 4), let entries = number(at: directory, bytes: 2) else { return nil }
        for entry in 0..<entries {
            let start = directory + 2 + entry * 12
            guard let tag = number(at: start, bytes: 2) else { return nil }
            if tag == 0x0112 {
                self.init(rawValue: number(at: start + 8, bytes: 2) ?? 0)
                return
            }
        }
        return nil
    }

    /// The APP1 segment before the first scan.
    private static func jpegExif(_ bytes: Data) -> Data? {
        var position = 2
        while let head = bytes.slice(at: position, count: 4)?.map(Int.init), head[0] == 0xFF, head[1] != 0xDA {
            if head[1] == 0xFF {  // a fill byte
                position += 1
                continue
            }
            let length = head[2] << 8 | head[3]  // counts itself
            if head[1] == 0xE1, length >= 8, let segment = bytes.slice(at: position + 4, count: length - 2),
                segment.starts(with: Data("Exif\0\0".utf8))
            {
                return Data(segment.dropFirst(6))
            }
            position += 2 + length
        }
        return nil
    }

    /// The eXIf chunk, wherever it stands.
    private static func pngExif(_ bytes: Data) -> Data? {
        var position = 8
        while let head = bytes.slice(at: position, count: 8) {
            let length = head.prefix(4).bigEndianValue
            if head.suffix(4).elementsEqual("eXIf".utf8) {
                return bytes.slice(at: position + 8, count: length).map { Data($0) }
            }
            position += 12 + length
        }
        return nil
    }

    /// The same picture, turned upright.
    func applied(to stored: Pixels) throws(MediaError) -> Pixels {
        if self == .upright { return stored }
        let (width, height) = (stored.width, stored.height)
        // Stored offset of the first upright pixel, and of one step right and one step down in the upright picture.
        let last = (x: width - 1, y: (height - 1) * width)
        let (first, right, down): (Int, Int, Int) =
            switch self {
            case .upright: (0, 1, width)
            case .mirrored: (last.x, -1, width)
            case .upsideDown: (last.x + last.y, -1, -width)
            case .flipped: (last.y, 1, -width)
            case .transposed: (0, width, 1)
            case .clockwise: (last.y, -width, 1)
            case .transversed: (last.x + last.y, -width, -1)
            case .counterclockwise: (last.x, width, -1)
            }
        let isTurned = rawValue >= Self.transposed.rawValue
        let (newWidth, newHeight) = isTurned ? (height, width) : (width, height)
        let rgb = [UInt8](unsafeUninitializedCapacity: stored.rgb.count) { upright, count in
            stored.rgb.withUnsafeBufferPointer { stored in
                var target = 0
                for y in 0..<newHeight {
                    var source = 3 * (first + y * down)
                    for _ in 0..<newWidth {
                        upright[target] = stored[source]
                        upright[target + 1] = stored[source + 1]
                        upright[target + 2] = stored[source + 2]
                        target += 3
                        source += 3 * right
                    }
                }
            }
            count = stored.rgb.count
        }
        return try Pixels(width: newWidth, height: newHeight, rgb: rgb)
    }
}

extension Data {
    /// `nil` where the data is too short for it.
    fileprivate func slice(at offset: Int, count: Int) -> Data? {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
        return self[startIndex + offset..<startIndex + offset + count]
    }
}

extension Sequence<UInt8> {
    fileprivate var bigEndianValue: Int { reduce(0) { $0 << 8 | Int($1) } }
}
