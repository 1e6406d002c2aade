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

    mutating func readObjectBytes(_ body: (ArraySlice<UInt8>, inout JSONReader) throws(TokenizerError) -> Void)
        throws(TokenizerError)
    {
        try readMembers(open: "{", close: "}") { reader throws(TokenizerError) in
            let key = try reader.readStringBytes()
            try reader.expect(":")
            try body(key, &reader)
        }
    }

    /// Calls `body` before every element, which it must read.
    mutating func readArray(_ body: (inout JSONReader) throws(TokenizerError) -> Void) throws(TokenizerError) {
        try readMembers(open: "[", close: "]", body)
    }

    mutating func readString() throws(TokenizerError) -> String {
        String(decoding: try readStringBytes(), as: UTF8.self)
    }

    /// The bytes of a string, escapes resolved.
    mutating func readStringBytes() throws(TokenizerError) -> ArraySlice<UInt8> {
        try expect("\"")
        let start = place
        while place < bytes.count, bytes[place] != UInt8(ascii: "\""), bytes[place] != UInt8(ascii: "\\"),
            bytes[place] >= 0x20
        { place += 1 }
        if place < bytes.count, bytes[place] == UInt8(ascii: "\"") {
            place += 1
            return bytes[start..<place - 1]
        }
        var result = Array(bytes[start..<place])
        while place < bytes.count {
            let byte = bytes[place]
            if byte == UInt8(ascii: "\"") {
                place += 1
                return result[...]
            }
            guard byte >= 0x20 else { throw malformed("a string without control characters") }
            place += 1
            if byte == UInt8(ascii: "\\") { try readEscape(into: &result) } else { result.append(byte) }
        }
        throw malformed("the end of a string")
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

    /// - Returns: members of the object or elements of the array that was skipped; 0 for other values.
    @discardableResult
    mutating func skipValue() throws(TokenizerError) -> Int {
        var count = 0
        switch peek() {
        case UInt8(ascii: "{"):
            try readObjectBytes { _, reader throws(TokenizerError) in
                count += 1
                try reader.skipValue()
            }
        case UInt8(ascii: "["):
            try readArray { reader throws(TokenizerError) in
                count += 1
                try reader.skipValue()
            }
        case UInt8(ascii: "\""): _ = try readStringBytes()
        default:
            let start = place
            while place < bytes.count, !Self.endsScalar(bytes[place]) { place += 1 }
            guard Self.isLiteralOrNumber(bytes[start..<place]) else {
                place = start
                throw malformed("a value")
            }
        }
        return count
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
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw malformed("four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
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
