import Foundation

/// How a stored image must be rotated or mirrored to be upright: the value of EXIF's tag 0x0112, or of XMP's
/// `tiff:Orientation`.
///
/// Like Pillow's `exif_transpose`: accepts any numeric type of the EXIF tag, ignores one of bytes or text, and uses XMP
/// only if EXIF has no such tag.
///
/// Source: CIPA DC-008 (Exif 2.32), 4.6.4 A; Pillow 13.0, `Image.getexif`, `ImageOps.exif_transpose`.
enum Orientation: Int, CaseIterable {
    case upright = 1
    case mirrored, upsideDown, flipped, transposed, clockwise, transversed, counterclockwise

    /// `upright` if the file has no orientation or an invalid one.
    init(of bytes: Data, _ format: MediaFormat) {
        let metadata = PictureMetadata(bytes, format)
        let exif = metadata.exif.flatMap { TIFFDirectory(Data($0)) }
        let value: Int? =
            if let exif, exif.contains(0x0112) {
                exif.number(0x0112).flatMap(Int.init(exactly:))
            } else {
                metadata.xmp.flatMap(Self.value(xmp:))
            }
        self = value.flatMap(Self.init(rawValue:)) ?? .upright
    }

    /// The digit of `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
    private static func value(xmp: Data) -> Int? {
        var rest = xmp[...]
        while let name = rest.firstRange(of: Data("tiff:Orientation".utf8)) {
            rest = rest[name.upperBound...]
            for opening in ["=\"", ">"] where rest.starts(with: opening.utf8) {
                let digit = rest.dropFirst(opening.utf8.count).first ?? 0
                if (0x30...0x39).contains(digit) { return Int(digit) - 0x30 }
            }
        }
        return nil
    }

    /// The same image, upright.
    func applied(to stored: Pixels) throws(MediaError) -> Pixels {
        if self == .upright { return stored }
        let (width, height) = (stored.width, stored.height)
        // Offset in the stored image of the upright image's first pixel, of one step right and of one step down.
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
