/// A set of Unicode scalars, as ascending, non-adjacent ranges.
struct ScalarSet: Sendable, Hashable {
    private(set) var ranges: [ClosedRange<UInt32>] = []

    static let all = ScalarSet([0...0xD7FF, 0xE000...0x10FFFF])

    init() {}

    init(_ ranges: [ClosedRange<UInt32>]) {
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
                self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    init(_ scalars: String) { self.init(scalars.unicodeScalars.map { $0.value...$0.value }) }

    var isEmpty: Bool { ranges.isEmpty }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

    var inverted: ScalarSet {
        var gaps: [ClosedRange<UInt32>] = []
        var start: UInt32 = 0
        for range in ranges {
            if range.lowerBound > start { gaps.append(start...range.lowerBound - 1) }
            start = range.upperBound + 1
        }
        if start <= 0x10FFFF { gaps.append(start...0x10FFFF) }
        return ScalarSet(gaps).intersection(.all)
    }

    func intersection(_ other: ScalarSet) -> ScalarSet {
        var common: [ClosedRange<UInt32>] = []
        for range in ranges {
            for theirs in other.ranges where range.overlaps(theirs) { common.append(range.clamped(to: theirs)) }
        }
        return ScalarSet(common)
    }

    func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.inverted) }

    func contains(_ scalar: Unicode.Scalar) -> Bool { ranges.contains { $0.contains(scalar.value) } }
}

/// The encoding of scalars as bytes.
enum TextEncoding: Sendable {
    case utf8
    /// Inside a JSON string, with one spelling per scalar: characters that JSON requires to be escaped as `\"`, `\\`,
    /// `\b`, `\f`, `\n`, `\r`, `\t` or lowercase `\u00xx`, all others in UTF-8.
    case jsonString

    /// The encodings of a set's scalars, as sequences of byte ranges.
    func sequences(_ scalars: ScalarSet) -> [[ClosedRange<UInt8>]] {
        switch self {
        case .utf8: return scalars.ranges.flatMap(Self.utf8)
        case .jsonString:
            var sequences = scalars.subtracting(Self.escaped).ranges.flatMap(Self.utf8)
            for range in scalars.intersection(Self.escaped).ranges {
                for value in range { sequences.append(Self.escape(UInt8(value)).map { $0...$0 }) }
            }
            return sequences
        }
    }

    func bytes(_ scalar: Unicode.Scalar) -> [UInt8] {
        if self == .jsonString, Self.escaped.contains(scalar) { return Self.escape(UInt8(scalar.value)) }
        return Array(UTF8.encode(scalar)!)
    }

    func bytes(_ text: String) -> [UInt8] { text.unicodeScalars.flatMap(bytes) }

    private static let escaped = ScalarSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])

    private static func escape(_ byte: UInt8) -> [UInt8] {
        let letters: [UInt8: Unicode.Scalar] = [
            0x22: "\"", 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t",
        ]
        if let letter = letters[byte] { return [UInt8(ascii: "\\"), UInt8(ascii: letter)] }
        let digits = String(byte, radix: 16)
        return Array("\\u00\(digits.utf8.count == 1 ? "0" : "")\(digits)".utf8)
    }

    /// Splits a range of scalars where the encoded length changes and continuation bytes wrap, so that each part is a
    /// sequence of byte ranges.
    private static func utf8(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
        for limit: UInt32 in [0x7F, 0x7FF, 0xFFFF] where range.lowerBound <= limit && range.upperBound > limit {
            return utf8(range.lowerBound...limit) + utf8(limit + 1...range.upperBound)
        }
        if range.upperBound <= 0x7F { return [[UInt8(range.lowerBound)...UInt8(range.upperBound)]] }
        for shift: UInt32 in [6, 12, 18] {
            let mask: UInt32 = (1 << shift) - 1
            guard range.lowerBound & ~mask != range.upperBound & ~mask else { continue }
            if range.lowerBound & mask != 0 {
                return utf8(range.lowerBound...range.lowerBound | mask)
                    + utf8((range.lowerBound | mask) + 1...range.upperBound)
            }
            if range.upperBound & mask != mask {
                return utf8(range.lowerBound...(range.upperBound & ~mask) - 1)
                    + utf8(range.upperBound & ~mask...range.upperBound)
            }
        }
        let low = UTF8.encode(Unicode.Scalar(range.lowerBound)!)!
        let high = UTF8.encode(Unicode.Scalar(range.upperBound)!)!
        return [zip(low, high).map { $0...$1 }]
    }
}
