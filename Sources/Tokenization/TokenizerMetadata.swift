/// A vocabulary as in the metadata of GGUF files: pieces, their types, and merges.
///
/// Those files contain scores too, which are unused: only the order of the merges counts.
///
/// Source: llama.cpp, `gguf-py/gguf/constants.py`, `TokenType`; `src/llama-vocab.cpp`, `gemma4`.
package struct TokenizerMetadata: Sendable {
    /// Concatenated UTF-8 texts, and the end of each.
    package typealias Texts = (bytes: [UInt8], ends: [Int])

    /// By id, with ▁ for a space.
    package let pieces: Texts
    /// By id.
    package let types: [Int]
    /// "left right", in order of rank.
    package let merges: Texts
    /// Ids that other metadata keys assign a role: special whatever their type.
    let namedIds: Set<Int>
    /// For error messages.
    let file: String

    package init(pieces: Texts, types: [Int], merges: Texts, namedIds: Set<Int> = [], file: String) {
        (self.pieces, self.types, self.merges, self.file) = (pieces, types, merges, file)
        self.namedIds = namedIds
    }

    /// The vocabulary of a `tokenizer.json`, as llama.cpp's converter would write it.
    ///
    /// - Throws: `TokenizerError`.
    package init(contentsOf path: String) throws {
        let tokenizer = try TokenizerFile(contentsOf: path)
        let special = Dictionary(tokenizer.addedTokens.map { ($0.id, $0.text) }) { first, _ in first }
        var pieces: Texts = ([], [])
        var types: [Int] = []
        for id in 0..<tokenizer.vocabulary.count {
            // The converter fills ids without a token in this way.
            let stored = tokenizer.vocabulary.piece(id)
            let piece = stored ?? Array("[PAD\(id)]".utf8)[...]
            pieces.bytes += piece
            pieces.ends.append(pieces.bytes.count)
            types.append(stored == nil ? Self.unused : Self.type(of: piece, special: special[id]))
        }
        var merges: Texts = ([], [])
        for merge in tokenizer.merges.merges {
            for (id, ending) in [(merge.left, [UInt8(ascii: " ")]), (merge.right, [])] {
                merges.bytes += tokenizer.vocabulary.piece(Int(id)) ?? []
                merges.bytes += ending
            }
            merges.ends.append(merges.bytes.count)
        }
        self.init(pieces: pieces, types: types, merges: merges, file: path)
    }

    /// The special tokens of calls and channels that are shown to users, as in the converter.
    private static func type(of piece: ArraySlice<UInt8>, special: String?) -> Int {
        let shown = [
            "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>", "<|channel>",
            "<channel|>",
        ]
        if let special { return shown.contains(special) ? userDefined : control }
        return piece.count == 6 && piece.starts(with: "<0x".utf8) && piece.last == UInt8(ascii: ">") ? byte : normal
    }

    private static let (normal, unknown, control, userDefined, unused, byte) = (1, 2, 3, 4, 5, 6)

    /// `<unk>`, control tokens, and those that the converter wants shown. Early files mark all of them as control
    /// tokens, so they are not distinguished here.
    private static let specialTypes = unknown...userDefined

    /// Special in every vocabulary of the family: some files mark `<eos>` as a normal token.
    private static let baseTokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"].map { Array($0.utf8) }

    private func isSpecial(_ id: Int) -> Bool {
        if Self.specialTypes.contains(types[id]) || namedIds.contains(id) { return true }
        let piece = piece(id)
        return piece.first == UInt8(ascii: "<") && piece.count <= 6
            && Self.baseTokens.contains { piece.elementsEqual($0) }
    }
}

extension Tokenizer {
    /// - Throws: `TokenizerError`, with the metadata's key.
    package init(_ metadata: TokenizerMetadata) throws(TokenizerError) {
        let vocabulary = try metadata.vocabulary()
        try self.init(
            vocabulary, metadata.mergeList(of: vocabulary), addedTokens: metadata.addedTokens(), file: metadata.file)
    }
}

extension TokenizerMetadata {
    fileprivate func vocabulary() throws(TokenizerError) -> Vocabulary {
        var vocabulary = Vocabulary(capacity: pieces.ends.count)
        var start = 0
        for (id, end) in pieces.ends.enumerated() {
            let piece = pieces.bytes[start..<end]
            guard vocabulary.insert(piece, id: id) == .added else {
                throw TokenizerError(
                    .invalidVocabulary, file: file, place: "tokenizer.ggml.tokens[\(id)]",
                    expected: "each piece once",
                    found: "\(String(decoding: piece, as: UTF8.self).debugDescription) twice")
            }
            start = end
        }
        return vocabulary
    }

    /// Skips merges of pieces that a pruned vocabulary lacks, as llama.cpp does: no text can reach them.
    fileprivate func mergeList(of vocabulary: Vocabulary) throws(TokenizerError) -> MergeList {
        var pairs = PiecePairs()
        pairs.bytes.reserveCapacity(merges.bytes.count)
        var start = 0
        for (index, end) in merges.ends.enumerated() {
            let text = merges.bytes[start..<end]
            guard let space = text.dropFirst().firstIndex(of: UInt8(ascii: " ")) else {
                throw TokenizerError(
                    .malformed, file: file, place: "tokenizer.ggml.merges[\(index)]",
                    expected: "two pieces with a space between them",
                    found: String(decoding: text, as: UTF8.self).debugDescription)
            }
            pairs.bytes.append(contentsOf: text[..<space])
            let leftEnd = pairs.bytes.count
            pairs.bytes.append(contentsOf: text[(space + 1)...])
            pairs.endPair(leftEnd: leftEnd)
            start = end
        }
        var list = MergeList()
        list.append(pairs, of: vocabulary)
        return list
    }

    /// Only the special tokens, without the cost of building a whole tokenizer.
    ///
    /// - Throws: `TokenizerError` if types and tokens are inconsistent.
    package func specialTokens() throws(TokenizerError) -> SpecialTokens { SpecialTokens(try addedTokens()) }

    fileprivate func addedTokens() throws(TokenizerError) -> [AddedToken] {
        guard types.count == pieces.ends.count else {
            throw TokenizerError(
                .malformed, file: file, place: "tokenizer.ggml.token_type",
                expected: "\(pieces.ends.count) types, one for each token", found: "\(types.count)")
        }
        return types.indices.filter(isSpecial).map {
            AddedToken(text: String(decoding: piece($0), as: UTF8.self), id: $0, isSpecial: true)
        }
    }

    private func piece(_ id: Int) -> ArraySlice<UInt8> {
        pieces.bytes[(id > 0 ? pieces.ends[id - 1] : 0)..<pieces.ends[id]]
    }
}
