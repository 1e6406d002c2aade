import Foundation

/// The parts of a `tokenizer.json` that Gemma 4's tokenizer consists of.
///
/// The published file has 30 MB, nearly all of it a vocabulary and merges: these are read straight from the bytes.
struct TokenizerFile {
    let path: String
    private(set) var vocabulary = Vocabulary(expecting: 0)
    private(set) var merges = MergeList(expecting: 0)
    private(set) var addedTokens: [AddedToken] = []

    /// No vocabulary is near it; a greater id would only ask for memory.
    private static let idLimit = 1 << 22

    init(contentsOf path: String) throws(TokenizerError) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw TokenizerError(
                .unreadable, file: path, place: "file", expected: "a readable tokenizer.json", found: "none")
        }
        try self.init(data, path: path)
    }

    init(_ data: Data, path: String) throws(TokenizerError) {
        self.path = path
        var reader = JSONReader([UInt8](data), file: path)
        var normalizers: [Normalizer]?
        var hasModel = false
        try reader.readObject { key, reader throws(TokenizerError) in
            switch key {
            case "normalizer": normalizers = try Self.readNormalizers(&reader)
            case "added_tokens": try readAddedTokens(&reader)
            case "model":
                try readModel(&reader)
                hasModel = true
            default: try reader.skipValue()
            }
        }
        try reader.expectEnd()
        guard hasModel else {
            throw TokenizerError(.malformed, file: path, place: "model", expected: "a BPE model", found: "no such key")
        }
        guard normalizers == [.published] else {
            throw TokenizerError(
                .unsupported, file: path, place: "normalizer", expected: "\(Normalizer.published), as in Gemma 4",
                found: (normalizers ?? []).isEmpty
                    ? "none" : (normalizers ?? []).map(\.description).joined(separator: ", "))
        }
        try addPiecesOfAddedTokens()
    }

    // MARK: Model

    private mutating func readModel(_ reader: inout JSONReader) throws(TokenizerError) {
        var vocabulary: (start: JSONReader, count: Int)?
        var merges: (start: JSONReader, count: Int)?
        var type = ""
        var hasByteFallback = false
        var ignoresMerges = false
        try reader.readObject { key, reader throws(TokenizerError) in
            switch key {
            case "type": type = try reader.readString()
            case "byte_fallback": hasByteFallback = try reader.readBool()
            case "ignore_merges": ignoresMerges = try reader.readBool()
            case "vocab":
                let start = reader
                vocabulary = (start, try reader.skipValue())
            case "merges":
                let start = reader
                merges = (start, try reader.skipValue())
            default: try reader.skipValue()
            }
        }
        guard type == "BPE", hasByteFallback, !ignoresMerges else {
            let found =
                type != "BPE" ? "\"\(type)\"" : hasByteFallback ? "BPE with ignore_merges" : "BPE without byte_fallback"
            throw TokenizerError(
                .unsupported, file: path, place: "model", expected: "BPE with byte_fallback, as in Gemma 4",
                found: found)
        }
        guard let vocabulary, let merges else {
            throw TokenizerError(
                .malformed, file: path, place: "model", expected: "vocab and merges",
                found: vocabulary == nil ? "no vocab" : "no merges")
        }
        try readVocabulary(vocabulary.start, count: vocabulary.count)
        try readMerges(merges.start, count: merges.count)
    }

    private mutating func readVocabulary(_ start: JSONReader, count: Int) throws(TokenizerError) {
        var vocabulary = Vocabulary(expecting: count)
        var reader = start
        try reader.readObjectBytes { key, reader throws(TokenizerError) in
            let id = try reader.readInteger()
            guard 0..<Self.idLimit ~= id else {
                throw invalidVocabulary("an id from 0 to \(Self.idLimit - 1)", "\(id) for \(quoted(key))")
            }
            switch vocabulary.insert(key, id: id) {
            case .added: break
            case .duplicateId: throw invalidVocabulary("each id once", "\(id) twice, again for \(quoted(key))")
            case .duplicatePiece: throw invalidVocabulary("each piece once", "\(quoted(key)) twice")
            }
        }
        self.vocabulary = vocabulary
    }

    private func invalidVocabulary(_ expected: String, _ found: String) -> TokenizerError {
        TokenizerError(.invalidVocabulary, file: path, place: "model.vocab", expected: expected, found: found)
    }

    private mutating func readMerges(_ start: JSONReader, count: Int) throws(TokenizerError) {
        var merges = MergeList(expecting: count)
        var reader = start
        var pairs: [MergeList.Pair] = []
        func flush() throws(TokenizerError) {
            let rank = merges.merges.count
            guard let bad = merges.append(pairs, of: vocabulary) else { return pairs.removeAll(keepingCapacity: true) }
            throw TokenizerError(
                .invalidMerge, file: path, place: "model.merges[\(rank + bad)]",
                expected: "two pieces that join to a third",
                found: "\(quoted(pairs[bad].left)) and \(quoted(pairs[bad].right)), one of the three not in model.vocab"
            )
        }
        try reader.readArray { reader throws(TokenizerError) in
            guard let pair = try Self.readPair(&reader) else {
                throw TokenizerError(
                    .malformed, file: path, place: "model.merges[\(merges.merges.count + pairs.count)]",
                    expected: "two pieces", found: "another number")
            }
            pairs.append(pair)
            if pairs.count == 256 { try flush() }
        }
        try flush()
        self.merges = merges
    }

    /// Either form: `["a", "b"]`, or `"a b"` cut at the first space that has something before it.
    private static func readPair(_ reader: inout JSONReader) throws(TokenizerError) -> MergeList.Pair? {
        guard reader.peek() == UInt8(ascii: "[") else {
            let pair = try reader.readStringBytes()
            guard let cut = pair.dropFirst().firstIndex(of: UInt8(ascii: " ")) else { return nil }
            return MergeList.Pair(left: pair[..<cut], right: pair[(cut + 1)...])
        }
        var left: ArraySlice<UInt8>?
        var right: ArraySlice<UInt8>?
        var count = 0
        try reader.readArray { reader throws(TokenizerError) in
            (left, right) = (right, try reader.readStringBytes())
            count += 1
        }
        guard count == 2, let left, let right else { return nil }
        return MergeList.Pair(left: left, right: right)
    }

    private func quoted(_ piece: ArraySlice<UInt8>) -> String {
        String(decoding: piece, as: UTF8.self).debugDescription
    }

    // MARK: Added tokens

    private mutating func readAddedTokens(_ reader: inout JSONReader) throws(TokenizerError) {
        var tokens: [AddedToken] = []
        try reader.readArray { reader throws(TokenizerError) in
            var text = ""
            var id = -1
            var isSpecial = false
            try reader.readObject { key, reader throws(TokenizerError) in
                switch key {
                case "content": text = try reader.readString()
                case "id": id = try reader.readInteger()
                case "special": isSpecial = try reader.readBool()
                default: try reader.skipValue()
                }
            }
            guard !text.isEmpty, 0..<Self.idLimit ~= id else {
                throw TokenizerError(
                    .malformed, file: path, place: "added_tokens[\(tokens.count)]",
                    expected: "content and an id from 0 to \(Self.idLimit - 1)",
                    found: "content \(text.debugDescription), id \(id < 0 ? "missing or negative" : String(id))")
            }
            tokens.append(AddedToken(text: text, id: id, isSpecial: isSpecial))
        }
        addedTokens = tokens
    }

    /// Added tokens may be missing in `vocab`; their ids then follow it.
    private mutating func addPiecesOfAddedTokens() throws(TokenizerError) {
        for (index, token) in addedTokens.enumerated() where vocabulary.id(token.text.utf8) != token.id {
            guard vocabulary.insert(token.text.utf8, id: token.id) == .added else {
                throw TokenizerError(
                    .invalidVocabulary, file: path, place: "added_tokens[\(index)]",
                    expected: "\(token.text.debugDescription) and its id as in model.vocab",
                    found: "id \(token.id)")
            }
        }
    }

    // MARK: Normalizer

    /// What is done to text before it is cut into symbols.
    private struct Normalizer: Equatable, CustomStringConvertible {
        var type = "", pattern = "", content = ""

        static let published = Normalizer(type: "Replace", pattern: " ", content: "▁")

        var description: String {
            type == "Replace" ? "Replace \(pattern.debugDescription) by \(content.debugDescription)" : type
        }
    }

    /// One, none (`null`), or a `Sequence` of them.
    private static func readNormalizers(_ reader: inout JSONReader) throws(TokenizerError) -> [Normalizer] {
        guard reader.peek() == UInt8(ascii: "{") else {
            try reader.skipValue()
            return []
        }
        var normalizer = Normalizer()
        var nested: [Normalizer] = []
        try reader.readObject { key, reader throws(TokenizerError) in
            switch key {
            case "type": normalizer.type = try reader.readString()
            case "content": normalizer.content = try reader.readString()
            case "pattern":
                try reader.readObject { kind, reader throws(TokenizerError) in
                    normalizer.pattern = (kind == "String" ? "" : kind + " ") + (try reader.readString())
                }
            case "normalizers":
                try reader.readArray { reader throws(TokenizerError) in nested += try readNormalizers(&reader) }
            default: try reader.skipValue()
            }
        }
        return normalizer.type == "Sequence" ? nested : [normalizer]
    }
}
