/// Decodes token ids incrementally, in whole characters: the concatenated texts equal `Tokenizer.decode`.
///
/// Holds back the bytes of a run of byte pieces until the run ends, because the reference replaces all of an invalid
/// run by U+FFFD.
package struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    private var bytes: [UInt8] = []

    package init(_ tokenizer: Tokenizer, skipSpecial: Bool = true) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
    }

    /// - Returns: the text that this id completes; empty if a character may be incomplete.
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
    /// - Returns: the text that was held back.
    package mutating func finish() -> String {
        defer { bytes.removeAll() }
        return String(validating: bytes, as: UTF8.self) ?? String(repeating: "\u{fffd}", count: bytes.count)
    }
}
