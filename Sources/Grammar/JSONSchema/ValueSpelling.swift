/// The notation of values: JSON, or arguments of a call in the published chat format.
struct ValueSpelling: Sendable {
    /// Encloses strings: a quote, or the byte for the token `<|"|>`.
    let quote: UInt8
    let encoding: TextEncoding
    let separator, colon: [UInt8]
    /// Whether keys are quoted like strings; otherwise they are bare if possible.
    let quotesKeys: Bool
    /// Whether members are sorted by key instead of in the order of the schema.
    let sortsKeys: Bool
    /// Whether objects with declared members have no others, unless the schema mentions others.
    let closesObjects: Bool

    /// On one line, separated by `", "` and `": "`, like Python's `json.dumps(value, ensure_ascii=False)`.
    static let json = ValueSpelling(
        quote: 0x22, encoding: .jsonString, separator: Array(", ".utf8), colon: Array(": ".utf8), quotesKeys: true,
        sortsKeys: false, closesObjects: false)

    /// `{key:<|"|>text<|"|>,other:1}`: strings without escapes, keys sorted.
    static let call = ValueSpelling(
        quote: ControlByte.quote, encoding: .utf8, separator: Array(",".utf8), colon: Array(":".utf8),
        quotesKeys: false,
        sortsKeys: true, closesObjects: true)

    func quoted(_ text: String) -> [UInt8] { [quote] + encoding.bytes(text) + [quote] }

    func key(_ name: String) -> [UInt8] {
        quotesKeys || name.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_\-]*/) == nil ? quoted(name) : Array(name.utf8)
    }

    /// Converts a language of quoted strings to the notation of keys.
    func keys(_ strings: ByteAutomaton) throws(ByteAutomaton.StateLimit) -> ByteAutomaton {
        guard !quotesKeys, !strings.isEmpty else { return strings }
        let quote = quote
        let bare = try ByteAutomaton(from: strings.next(0, quote), classes: strings.classes) { state, byte in
            let next = byte == quote ? ByteAutomaton.dead : strings.next(state, byte)
            return next < 0 ? nil : next
        } accepts: {
            strings.next($0, quote) >= 0
        }
        let word = CharacterClass.word
        let identifier = RegularExpression.sequence([
            .scalars(word.subtracting(CharacterClass.digit)),
            .repeated(.scalars(word.union(ScalarSet("-"))), min: 0, max: nil),
        ])
        return try bare.intersection(ByteAutomaton(identifier, .utf8))
    }
}

/// Bytes that do not occur in UTF-8, for the control tokens of a call.
package enum ControlByte {
    /// `<|"|>`
    package static let quote: UInt8 = 0xFF
    /// `<tool_call|>`
    package static let callEnd: UInt8 = 0xFE
}
