/// A token that is matched in text before byte-pair encoding.
struct AddedToken: Sendable {
    let text: String
    let id: Int
    /// Whether decoding may omit it.
    let isSpecial: Bool
}

/// The tokens matched in text before byte-pair encoding, by their text: turn markers, media placeholders and others.
/// Their ids are read from the file, because pruned or retrained vocabularies have other ids than the published one.
package struct SpecialTokens: Sendable {
    private let ids: [String: Int]
    private let byFirstByte: [UInt8: [(text: [UInt8], id: Int)]]  // longest first
    private let hidden: Set<Int>

    init(_ tokens: [AddedToken]) {
        ids = Dictionary(tokens.map { ($0.text, $0.id) }, uniquingKeysWith: { first, _ in first })
        hidden = Set(tokens.filter(\.isSpecial).map(\.id))
        let texts = tokens.map { (text: Array($0.text.utf8), id: $0.id) }.filter { !$0.text.isEmpty }
        byFirstByte = Dictionary(grouping: texts) { $0.text[0] }.mapValues {
            $0.sorted { $0.text.count > $1.text.count }
        }
    }

    /// The id of a token, for example `<|turn>`; nil if the vocabulary lacks it.
    package subscript(text: String) -> Int? { ids[text] }

    /// In ascending order.
    var allIds: [Int] { ids.values.sorted() }

    /// Whether decoding omits this id by default.
    package func contains(_ id: Int) -> Bool { hidden.contains(id) }

    /// The longest token that starts at `place`.
    func match(_ text: [UInt8], at place: Int) -> (length: Int, id: Int)? {
        guard let tokens = byFirstByte[text[place]] else { return nil }
        for token in tokens where text[place...].starts(with: token.text) { return (token.text.count, token.id) }
        return nil
    }
}
