/// Token ids to text as they come, in whole characters: the texts given out together are what `Tokenizer.decode` gives.
///
/// Bytes of a run of byte pieces are held back until the run ends, since a bad byte anywhere makes all of it U+FFFD in
/// the reference.
package struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    private var bytes: [UInt8] = []

    package init(_ tokenizer: Tokenizer, skipSpecial: Bool = true) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
    }

    /// - Returns: the text that is complete with this id; empty where a character may still go on.
    package mutating func append(_ id: Int) -> String {
        if skipSpecial, tokenizer.specialTokens.contains(id) { return "" }
        if let byte = tokenizer.byte(id) {
            bytes.append(byte)
            return ""
        }
        return finish() + tokenizer.text(id)
    }

    /// Ends the text.
    ///
    /// - Returns: what was held back.
    package mutating func finish() -> String {
        defer { bytes.removeAll() }
        return String(validating: bytes, as: UTF8.self) ?? String(repeating: "\u{fffd}", count: bytes.count)
    }
}
