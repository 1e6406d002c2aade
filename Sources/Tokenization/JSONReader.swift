/// Reads JSON value by value from its bytes, keeping nothing: for files too large for a tree of values.
struct JSONReader {
    let bytes: [UInt8]
    let file: String
    private(set) var place: Int
    private var depth = 0

    private static let depthLimit = 64

    init(_ bytes: [UInt8], file: String, place: Int = 0) {
        self.bytes = bytes
        self.file = file
        self.place = place
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }

    /// The first byte of the next value; 0 at the end.
    mutating func peek() -> UInt8 {
        while place < bytes.count, Self.isSpace(bytes[place]) { place += 1 }
        return place < bytes.count ? bytes[place] : 0
    }

    /// Calls `body` with every key, the reader standing before its value, which `body` must read.
    mutating func readObject(_ body: (String, inout JSONReader) throws(TokenizerError) -> Void) throws(TokenizerError) {
        try readObjectBytes { key, reader throws(TokenizerError) in
            try body(String(decoding: key, as: UTF8.self), &reader)
        }
    }

    /// The same with the bytes of the keys.
    mutating func readObjectBytes(_ body: ([UInt8], inout JSONReader) throws(TokenizerError) -> Void)
        throws(TokenizerError)
    {
        var key: [UInt8] = []
        try readMembers(open: "{", close: "}") { reader throws(TokenizerError) in
            key.removeAll(keepingCapacity: true)
            try reader.readString(into: &key)
            try reader.expect(":")
            try body(key, &reader)
        }
    }

    /// Calls `body` before every element, which it must read.
    mutating func readArray(_ body: (inout JSONReader) throws(TokenizerError) -> Void) throws(TokenizerError) {
        try readMembers(open: "[", close: "]", body)
    }

    mutating func readString() throws(TokenizerError) -> String {
        var text: [UInt8] = []
        try readString(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the bytes of a string, escapes resolved.
    mutating func readString(into text: inout [UInt8]) throws(TokenizerError) {
        try expect("\"")
        while true {
            let start = place
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "\""), bytes[end] != UInt8(ascii: "\\"),
                bytes[end] >= 0x20
            { end += 1 }
            text.append(contentsOf: bytes[start..<end])
            place = end
            guard end < bytes.count else { throw malformed("the end of a string") }
            guard bytes[end] >= 0x20 else { throw malformed("a string without control characters") }
            place += 1
            if bytes[end] == UInt8(ascii: "\"") { return }
            try readEscape(into: &text)
        }
    }

    mutating func readInteger() throws(TokenizerError) -> Int {
        let start = skipSpaceAndReturnPlace()
        while place < bytes.count, !Self.endsScalar(bytes[place]) { place += 1 }
        guard let value = Int(String(decoding: bytes[start..<place], as: UTF8.self)) else {
            place = start
            throw malformed("an integer")
        }
        return value
    }

    mutating func readBool() throws(TokenizerError) -> Bool {
        let start = skipSpaceAndReturnPlace()
        for (text, value) in [("true", true), ("false", false)] where bytes[start...].starts(with: text.utf8) {
            place = start + text.utf8.count
            return value
        }
        throw malformed("true or false")
    }

    mutating func skipValue() throws(TokenizerError) {
        switch peek() {
        case UInt8(ascii: "{"):
            try readObjectBytes { _, reader throws(TokenizerError) in try reader.skipValue() }
        case UInt8(ascii: "["):
            try readArray { reader throws(TokenizerError) in try reader.skipValue() }
        case UInt8(ascii: "\""): _ = try readString()
        default:
            let start = place
            while place < bytes.count, !Self.endsScalar(bytes[place]) { place += 1 }
            guard Self.isLiteralOrNumber(bytes[start..<place]) else {
                place = start
                throw malformed("a value")
            }
        }
    }

    mutating func expectEnd() throws(TokenizerError) {
        guard peek() == 0, place == bytes.count else { throw malformed("the end of the file") }
    }

    private static func endsScalar(_ byte: UInt8) -> Bool {
        isSpace(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            || byte == UInt8(ascii: ":")
    }

    private static func isLiteralOrNumber(_ text: ArraySlice<UInt8>) -> Bool {
        if text.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) { return !text.isEmpty }
        let string = String(decoding: text, as: UTF8.self)
        return ["true", "false", "null"].contains(string)
            || string.allSatisfy("+-.0123456789eE".contains) && Double(string) != nil
    }

    private mutating func skipSpaceAndReturnPlace() -> Int {
        _ = peek()
        return place
    }

    private mutating func readMembers(
        open: Unicode.Scalar, close: Unicode.Scalar, _ body: (inout JSONReader) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        try expect(open)
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw malformed("at most \(Self.depthLimit) levels") }
        if peek() == UInt8(ascii: close) {
            place += 1
            return
        }
        while true {
            try body(&self)
            if peek() == UInt8(ascii: ",") {
                place += 1
            } else {
                return try expect(close)
            }
        }
    }

    private mutating func readEscape(into result: inout [UInt8]) throws(TokenizerError) {
        guard place < bytes.count else { throw malformed("an escape") }
        defer { place += 1 }
        switch bytes[place] {
        case UInt8(ascii: "n"): result.append(0x0a)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "r"): result.append(0x0d)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0c)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(bytes[place])
        case UInt8(ascii: "u"):
            var unit = try readHex()
            if unit & 0xfc00 == 0xd800, bytes[(place + 1)...].starts(with: "\\u".utf8) {
                place += 2
                let low = try readHex()
                guard low & 0xfc00 == 0xdc00 else { throw malformed("a low surrogate") }
                unit = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw malformed("a Unicode scalar") }
            result.append(contentsOf: UTF8.encode(scalar)!)
        default: throw malformed("an escape")
        }
    }

    /// Four hexadecimal digits after the current place, which moves to the last.
    private mutating func readHex() throws(TokenizerError) -> UInt32 {
        guard place + 4 < bytes.count else { throw malformed("four hexadecimal digits") }
        var value: UInt32 = 0
        for byte in bytes[place + 1...place + 4] {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: throw malformed("four hexadecimal digits")
            }
        }
        place += 4
        return value
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(TokenizerError) {
        guard peek() == UInt8(ascii: character) else { throw malformed("\"\(character)\"") }
        place += 1
    }

    private func malformed(_ expected: String) -> TokenizerError {
        let found =
            place < bytes.count
            ? "\"\(String(decoding: bytes[place..<min(bytes.count, place + 20)], as: UTF8.self))\""
            : "the end of the file"
        return TokenizerError(.malformed, file: file, place: "byte \(place)", expected: expected, found: found)
    }
}
