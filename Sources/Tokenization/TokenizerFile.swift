import Foundation
import JSONText

/// The parts of a `tokenizer.json` that Gemma 4's tokenizer uses.
///
/// The published file has 30 MB, nearly all of it vocabulary and merges, which are parsed directly from the bytes.
struct TokenizerFile {
    let path: String
    private(set) var vocabulary = Vocabulary()
    private(set) var merges = MergeList()
    private(set) var addedTokens: [AddedToken] = []

    /// Far beyond any vocabulary; bounds the memory that a file can demand.
    private static let idLimit = 1 << 22

    /// 30 times the published file, and within the range of 32-bit offsets.
    private static let byteLimit = 1 << 30

    /// - Throws: `TokenizerError`.
    init(contentsOf path: String) throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw TokenizerError(
                .unreadable, file: path, place: "file", expected: "a readable tokenizer.json", found: "none")
        }
        try self.init(data, path: path)
    }

    /// - Throws: `TokenizerError`.
    init(_ data: Data, path: String) throws {
        self.path = path
        guard data.count <= Self.byteLimit else {
            throw TokenizerError(
                .malformed, file: path, place: "file", expected: "at most \(Self.byteLimit) bytes",
                found: "\(data.count)")
        }
        var reader = JSONReader([UInt8](data))
        do {
            try read(&reader)
        } catch let error as JSONValue.SyntaxError {
            throw TokenizerError(
                .malformed, file: path, place: error.place, expected: error.expected, found: error.found)
        }
        try addPiecesOfAddedTokens()
    }

    /// - Throws: `JSONValue.SyntaxError`, `TokenizerError`.
    private mutating func read(_ reader: inout JSONReader) throws {
        var normalizers: [Normalizer]?
        var hasModel = false
        try reader.beginObject()
        while let key = try reader.nextKey() {
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
    }

    // MARK: Model

    /// The merges may precede the vocabulary, so they are resolved at the end.
    private mutating func readModel(_ reader: inout JSONReader) throws {
        var hasVocabulary = false
        var merges: PiecePairs?
        var type = ""
        var hasByteFallback = false
        var ignoresMerges = false
        try reader.beginObject()
        while let key = try reader.nextKey() {
            switch key {
            case "type": type = try reader.readString()
            case "byte_fallback": hasByteFallback = try reader.readBool()
            case "ignore_merges": ignoresMerges = try reader.readBool()
            case "vocab" where reader.peek() == UInt8(ascii: "{"):
                try readVocabulary(&reader)
                hasVocabulary = true
            case "merges": merges = try readMerges(&reader)
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
        guard hasVocabulary, let merges else {
            throw TokenizerError(
                .malformed, file: path, place: "model", expected: "vocab and merges",
                found: hasVocabulary ? "no merges" : "no vocab")
        }
        try lookUp(merges)
    }

    private mutating func readVocabulary(_ reader: inout JSONReader) throws {
        var vocabulary = Vocabulary()
        var key: [UInt8] = []
        try reader.beginObject()
        while try reader.nextKey(into: &key) {
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

    private func readMerges(_ reader: inout JSONReader) throws -> PiecePairs {
        var merges = PiecePairs()
        try reader.beginArray()
        while try reader.nextElement() {
            guard try Self.readPair(&reader, into: &merges) else {
                throw TokenizerError(
                    .malformed, file: path, place: "model.merges[\(merges.count)]", expected: "two pieces",
                    found: "another number")
            }
        }
        return merges
    }

    /// Both forms: `["a", "b"]`, or `"a b"`, split at the first space that is not its first byte.
    private static func readPair(
        _ reader: inout JSONReader, into pairs: inout PiecePairs
    ) throws(JSONValue.SyntaxError) -> Bool {
        guard reader.peek() == UInt8(ascii: "[") else {
            try reader.readString(into: &pairs.bytes)
            return pairs.endPairAtSpace()
        }
        var (count, leftEnd) = (0, 0)
        try reader.beginArray()
        while try reader.nextElement() {
            leftEnd = pairs.bytes.count
            try reader.readString(into: &pairs.bytes)
            count += 1
        }
        guard count == 2 else { return false }
        pairs.endPair(leftEnd: leftEnd)
        return true
    }

    /// Skips merges of pieces that were removed from the vocabulary: no text can reach them. If more than half are
    /// skipped, merges and vocabulary do not belong together.
    private mutating func lookUp(_ pairs: PiecePairs) throws(TokenizerError) {
        var merges = MergeList()
        if let bad = merges.append(pairs, of: vocabulary), 2 * merges.merges.count < pairs.count {
            let (left, right) = (quoted(pairs.bytes[pairs[bad].left]), quoted(pairs.bytes[pairs[bad].right]))
            throw TokenizerError(
                .invalidMerge, file: path, place: "model.merges[\(bad)]",
                expected: "two pieces that join to a third",
                found: "\(left) and \(right), one of the three not in model.vocab, "
                    + "as in \(pairs.count - merges.merges.count) of \(pairs.count) merges")
        }
        self.merges = merges
    }

    private func quoted(_ piece: some Collection<UInt8>) -> String {
        String(decoding: piece, as: UTF8.self).debugDescription
    }

    // MARK: Added tokens

    private mutating func readAddedTokens(_ reader: inout JSONReader) throws {
        var tokens: [AddedToken] = []
        try reader.beginArray()
        while try reader.nextElement() {
            var text = ""
            var id = -1
            var isSpecial = false
            try reader.beginObject()
            while let key = try reader.nextKey() {
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

    /// A transformation of the text before it is split into symbols.
    private struct Normalizer: Equatable, CustomStringConvertible {
        var type = "", pattern = "", content = ""

        static let published = Normalizer(type: "Replace", pattern: " ", content: "▁")

        var description: String {
            type == "Replace" ? "Replace \(pattern.debugDescription) by \(content.debugDescription)" : type
        }
    }

    /// One normalizer, none (`null`), or a `Sequence` of them.
    private static func readNormalizers(
        _ reader: inout JSONReader
    ) throws(JSONValue.SyntaxError) -> [Normalizer] {
        guard reader.peek() == UInt8(ascii: "{") else {
            try reader.skipValue()
            return []
        }
        var normalizer = Normalizer()
        var nested: [Normalizer] = []
        try reader.beginObject()
        while let key = try reader.nextKey() {
            switch key {
            case "type": normalizer.type = try reader.readString()
            case "content": normalizer.content = try reader.readString()
            case "pattern":
                try reader.beginObject()
                while let kind = try reader.nextKey() {
                    normalizer.pattern = (kind == "String" ? "" : kind + " ") + (try reader.readString())
                }
            case "normalizers":
                try reader.beginArray()
                while try reader.nextElement() { nested += try readNormalizers(&reader) }
            default: try reader.skipValue()
            }
        }
        return normalizer.type == "Sequence" ? nested : [normalizer]
    }
}
