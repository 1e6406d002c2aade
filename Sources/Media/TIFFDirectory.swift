import Foundation

/// The first directory of a TIFF file, or of an EXIF record, which has the same layout: tags and their values.
///
/// Damage ends it: the tags before the damage are kept. The first of two entries with the same tag wins.
///
/// Source: TIFF 6.0, section 2; BigTIFF; Pillow 13.0, `TiffImagePlugin.ImageFileDirectory_v2`, for damaged files.
struct TIFFDirectory {
    /// Type and bytes of the values, by tag.
    private var values: [Int: (type: Int, bytes: Data)] = [:]
    private let isLittleEndian: Bool
    private let isBig: Bool

    /// Nil if these bytes are not a TIFF file.
    init?(_ file: Data) {
        switch [UInt8](file.prefix(4)) {
        case [0x49, 0x49, 42, 0], [0x49, 0x49, 0, 42]: (isLittleEndian, isBig) = (true, false)
        case [0x4D, 0x4D, 0, 42], [0x4D, 0x4D, 42, 0]: (isLittleEndian, isBig) = (false, false)
        case [0x49, 0x49, 43, 0]: (isLittleEndian, isBig) = (true, true)
        case [0x4D, 0x4D, 0, 43]: (isLittleEndian, isBig) = (false, true)
        default: return nil
        }
        read(file)
    }

    private mutating func read(_ file: Data) {
        let word = isBig ? 8 : 4
        guard let start = integer(file.slice(at: isBig ? 8 : 4, count: word)),
            let count = integer(file.slice(at: start, count: isBig ? 8 : 2))
        else { return }
        var place = start + (isBig ? 8 : 2)
        var total = 0
        for _ in 0..<count {
            guard let tag = integer(file.slice(at: place, count: 2)),
                let type = integer(file.slice(at: place + 2, count: 2)),
                let length = integer(file.slice(at: place + 4, count: word)),
                let inline = file.slice(at: place + 4 + word, count: word)
            else { return }
            place += 4 + 2 * word
            guard values[tag] == nil, let size = Self.sizes[type], length > 0, length <= file.count else { continue }
            let byteCount = size * length
            if byteCount <= word {
                values[tag] = (type, inline.prefix(byteCount))
                continue
            }
            total += byteCount
            if total > file.count { continue }
            guard let offset = integer(inline), let bytes = file.slice(at: offset, count: byteCount) else { return }
            values[tag] = (type, bytes)
        }
    }

    /// Size of one value in bytes, by type. Text and bytes do not count as numeric.
    private static let sizes = [
        1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8,
    ]

    func contains(_ tag: Int) -> Bool { values[tag] != nil }

    func bytes(_ tag: Int) -> Data? { values[tag]?.bytes }

    /// The first value of a tag, of any numeric type.
    func number(_ tag: Int) -> Double? {
        guard let (type, bytes) = values[tag], let size = Self.sizes[type] else { return nil }
        func signed(_ bytes: Data) -> Int? {
            integer(bytes).map { $0 >> (8 * bytes.count - 1) == 0 ? $0 : $0 - 1 << (8 * bytes.count) }
        }
        let first = bytes.prefix(size)
        switch type {
        case 3, 4, 13, 16: return integer(first).map(Double.init)
        case 6, 8, 9: return signed(first).map(Double.init)
        case 5, 10:
            let parts = [first.prefix(4), first.suffix(4)].compactMap { type == 5 ? integer($0) : signed($0) }
            return parts.count == 2 && parts[1] != 0 ? Double(parts[0]) / Double(parts[1]) : nil
        case 11: return integer(first).map { Double(Float(bitPattern: UInt32($0))) }
        case 12: return bits(first).map { Double(bitPattern: $0) }
        default: return nil
        }
    }

    /// What ffmpeg would silently decode differently from libtiff, or not at all; nil if there is nothing.
    ///
    /// Found by comparing ffmpeg 5.1 with Pillow (Tests/Corpora): it shuffles tiles, takes YCbCr and CMYK for RGB
    /// within JPEG compression, premultiplied alpha for straight alpha, and reversed bit order for normal.
    var unfaithfulKind: String? {
        func text(_ number: Double) -> String { String(format: "%.0f", number) }
        let compression = number(259) ?? 1
        let bits = number(258) ?? 1
        if isBig { return "BigTIFF" }
        if contains(322) { return "tiles" }
        if ![1, 2, 3, 4, 5, 8, 32_773, 32_946, 34_925].contains(compression) {
            return "compression \(text(compression))"
        }
        if let colors = number(262), !(0...3).contains(colors) { return "colors of kind \(text(colors))" }
        if ![1, 2, 4, 8, 16].contains(bits) { return "\(text(bits)) bits a sample" }
        if number(339) ?? 1 != 1 { return "signed or floating-point samples" }
        if number(266) == 2, ![2, 3, 4].contains(compression) { return "bits in the other order" }
        if number(338) == 1 { return "premultiplied alpha" }
        if number(262) == 3, number(277) ?? 1 != 1 { return "a palette with alpha" }
        return nil
    }

    private func integer(_ bytes: Data?) -> Int? { bytes.flatMap(bits).flatMap(Int.init(exactly:)) }

    private func bits(_ bytes: Data) -> UInt64? {
        let digits = isLittleEndian ? Array(bytes.reversed()) : Array(bytes)
        return digits.reduce(0) { $0 << 8 | UInt64($1) }
    }
}

extension Data {
    /// `nil` if the data is too short.
    func slice(at offset: Int, count: Int) -> Data? {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
        return self[startIndex + offset..<startIndex + offset + count]
    }
}

extension Sequence<UInt8> {
    var bigEndianValue: Int { reduce(0) { $0 << 8 | Int($1) } }
    var littleEndianValue: Int { reversed().bigEndianValue }
}
