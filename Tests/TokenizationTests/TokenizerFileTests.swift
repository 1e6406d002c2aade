import Foundation
import Testing

@testable import Tokenization

/// A `tokenizer.json` of few pieces, each part of which a test can replace by other JSON.
private struct SmallFile {
    var normalizer = #"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#
    var type = #""BPE""#
    var options = #""byte_fallback": true, "ignore_merges": false, "dropout": null"#
    var pieces = #""a": 256, "b": 257, "ab": 258, "▁": 259, "<|turn>": 260"#
    var merges = #"[["a", "b"]]"#
    var addedTokens = #"[{"id": 260, "content": "<|turn>", "normalized": false, "special": true}]"#

    private var bytes: String {
        (0..<256).map { String(format: #""<0x%02X>": %d"#, $0, $0) }.joined(separator: ", ")
    }

    var text: String {
        """
        {"version": "1.0", "normalizer": \(normalizer), "added_tokens": \(addedTokens), "pre_tokenizer": {"n": [1, -2.5e3]},
         "model": {"type": \(type), \(options), "vocab": {\(bytes), \(pieces)}, "merges": \(merges)}}
        """
    }

    static func with(_ change: (inout SmallFile) -> Void) -> String {
        var file = SmallFile()
        change(&file)
        return file.text
    }
}

private func open(_ text: String) throws -> Tokenizer {
    try Tokenizer(TokenizerFile(Data(text.utf8), path: "tokenizer.json"))
}

struct TokenizerFileTests {
    @Test(arguments: [#"[["a", "b"]]"#, #"["a b"]"#, " [ [ \"a\" ,\n\"\\u0062\" ] ] "])
    func readsBothFormsOfMerges(merges: String) throws {
        let tokenizer = try open(SmallFile.with { $0.merges = merges })
        #expect(tokenizer.encode("ab a") == [258, 259, 256])
        #expect(tokenizer.vocabularySize == 261)
        #expect(tokenizer.encode("<|turn>", parseSpecial: true) == [260])
    }

    /// Merges are resolved at the end of their object, wherever the vocabulary is in it.
    @Test func readsMergesBeforeTheirVocabulary() throws {
        let text = SmallFile().text
        let (vocabulary, merges) = (
            try #require(text.range(of: #""vocab": "#)), try #require(text.range(of: #", "merges": "#))
        )
        let swapped =
            text[..<vocabulary.lowerBound] + #""merges": [["a", "b"]], "#
            + text[vocabulary.lowerBound..<merges.lowerBound] + "}}"
        #expect(try open(String(swapped)).encode("ab") == [258])
    }

    @Test func readsASequenceOfOneNormalizer() throws {
        let text = SmallFile.with { $0.normalizer = #"{"type": "Sequence", "normalizers": [\#($0.normalizer)]}"# }
        #expect(try open(text).encode("a ab") == [256, 259, 258])
    }

    @Test func resolvesEscapes() throws {
        let tokenizer = try open(
            SmallFile.with {
                $0.pieces += #", "\"": 261, "\\": 262, "\n\t": 263, "\/": 264, "\uD83d\uDe0A": 265, "\u00e9": 266"#
            })
        #expect(tokenizer.encode("\"\\/😊é") == [261, 262, 264, 265, 266])
        #expect(tokenizer.piece(263) == "\n\t")
        #expect(tokenizer.encode("e\u{301}") == [0x65, 0xCC, 0x81])
    }

    /// A merge with an empty piece, anywhere in the list.
    @Test(arguments: [#"["", "a"], ["a", "b"]"#, #"["a", "b"], ["a", ""]"#])
    func readsMergesOfEmptyPieces(merges: String) throws {
        let tokenizer = try open(SmallFile.with { ($0.pieces, $0.merges) = ($0.pieces + #", "": 261"#, "[\(merges)]") })
        #expect(tokenizer.encode("ab a") == [258, 259, 256])
    }

    /// A piece that comes again is found whether the list names it next or not.
    @Test func looksUpJoinedPiecesInAnyOrder() throws {
        let pieces = #""a": 256, "b": 257, "ab": 261, "ba": 258, "▁": 259, "<|turn>": 260, "aba": 262, "bab": 263"#
        let tokenizer = try open(
            SmallFile.with {
                ($0.pieces, $0.merges) = (pieces, #"["ab a", "b ab", "b a", "a b", "ba b", "a ba"]"#)
            })
        #expect(tokenizer.encode("ba ab aba bab") == [258, 259, 261, 259, 262, 259, 263])
    }

    /// An added token that the vocabulary lacks has the next id.
    @Test func addsTokensToTheVocabulary() throws {
        let text = SmallFile.with { $0.addedTokens = #"[{"id": 270, "content": "<extra>", "special": false}]"# }
        let tokenizer = try open(text)
        #expect(tokenizer.vocabularySize == 271)
        #expect(tokenizer.piece(265) == nil)
        #expect(tokenizer.encode("a<extra>", parseSpecial: true) == [256, 270])
        #expect(tokenizer.decode([256, 265, 270]) == "a<extra>", "not special: shown")
    }

    /// As in `tokenizers`: of two equal merges the rank of the last counts.
    @Test func lastOfEqualMergesCounts() throws {
        let pieces = #""a": 256, "b": 257, "ab": 258, "bc": 259, "c": 260, "<|turn>": 261"#
        let token = #"[{"id": 261, "content": "<|turn>", "special": true}]"#
        func encode(_ merges: String) throws -> [Int] {
            try open(SmallFile.with { ($0.pieces, $0.merges, $0.addedTokens) = (pieces, merges, token) }).encode("abc")
        }
        #expect(try encode(#"["a b", "b c"]"#) == [258, 260])
        #expect(try encode(#"["a b", "b c", "a b"]"#) == [256, 259])
    }

    /// Text of a removed token is encoded by the tokens it consists of; other text is unchanged.
    @Test func opensWithoutSingleTokens() throws {
        let pieces = #""a": 256, "b": 257, "c": 261, "ab": 258, "abc": 262, "▁": 259, "<|turn>": 260"#
        let merges = #"["a b", "ab c"]"#
        func file(without piece: String) -> String {
            SmallFile.with { ($0.pieces, $0.merges) = (pieces, merges) }.replacing(piece, with: "")
        }
        let whole = try open(file(without: " nothing "))
        #expect(whole.encode("abc ab") == [262, 259, 258])
        let cut = try open(file(without: #""abc": 262, "#))
        #expect(cut.encode("abc ab") == [258, 261, 259, 258])
        let inner = try open(file(without: #""c": 261, "#))
        #expect(inner.encode("abc ab") == [258, 0x63, 259, 258])
        #expect(inner.vocabularySize == 263 && inner.piece(261) == nil)
        #expect(inner.decode([258, 0x63, 261, 259, 258]) == "abc ab")
    }

    /// A run of scalars whose bytes have no pieces is encoded as one `<unk>`, at its position.
    @Test func unknownStandsInForBytesWithoutPieces() throws {
        let text = SmallFile.with { $0.pieces += #", "<unk>": 270"# }
            .replacing(#""<0xC3>": 195, "#, with: "").replacing(#""<0x41>": 65, "#, with: "")
        let tokenizer = try open(text)
        #expect(tokenizer.encode("aéAèBab") == [256, 270, 0x42, 258])
        #expect(tokenizer.encode("ä") == [270])
        #expect(tokenizer.encode("€") == [0xE2, 0x82, 0xAC])
        #expect(tokenizer.decode([256, 0x42]) == "aB")
    }

    /// llama.cpp's converter writes such a piece for an id without one.
    @Test func fillsGapsOfMetadata() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "gap-\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let text = SmallFile.with { $0.pieces += #", "c": 262"# }
        try Data(text.utf8).write(to: URL(filePath: path))
        let metadata = try TokenizerMetadata(contentsOf: path)
        #expect(metadata.types.suffix(3) == [3, 5, 1])
        let tokenizer = try Tokenizer(metadata)
        #expect(tokenizer.piece(261) == "[PAD261]" && tokenizer.encode("abc") == [258, 262])
    }

    static let refusals: [(text: String, code: TokenizerError.Code, place: String, expected: String, found: String)] = [
        ("", .malformed, "line 1, column 1", "'{'", "the end of the text"),
        ("[]", .malformed, "line 1, column 1", "'{'", "'['"),
        ("{\"a\": 1", .malformed, "line 1, column 8", "',' or '}'", "the end of the text"),
        ("{\"a\": 1} x", .malformed, "line 1, column 10", "the end of the text", "'x'"),
        ("{\n\"a\": nil}", .malformed, "line 2, column 6", "a value", "'n'"),
        ("{\"a\": 0x10}", .malformed, "line 1, column 8", "',' or '}'", "'x'"),
        (
            "{\"a\": " + String(repeating: "[", count: 100), .malformed, "line 1, column 70",
            "at most 64 levels of nesting", "'['"
        ),
        ("{}", .malformed, "model", "a BPE model", "no such key"),
        (
            SmallFile.with { $0.type = #""Unigram""# }, .unsupported, "model", "BPE with byte_fallback, as in Gemma 4",
            "\"Unigram\""
        ),
        (
            #"{"model": {"type": "Unigram", "vocab": [["a", -1.5]], "byte_fallback": true}}"#, .unsupported, "model",
            "BPE with byte_fallback, as in Gemma 4", "\"Unigram\""
        ),
        (
            #"{"model": {"type": "WordPiece", "vocab": {"a": 0}}}"#, .unsupported, "model",
            "BPE with byte_fallback, as in Gemma 4", "\"WordPiece\""
        ),
        (
            SmallFile.with { $0.pieces += ", \"c\": 99999999999999999999" }, .malformed, "line 2, column 3895",
            "an integer of 64 bits", "'9'"
        ),
        (
            SmallFile.with { $0.options = #""byte_fallback": false"# }, .unsupported, "model",
            "BPE with byte_fallback, as in Gemma 4", "BPE without byte_fallback"
        ),
        (
            SmallFile.with { $0.options = #""byte_fallback": true, "ignore_merges": true"# }, .unsupported, "model",
            "BPE with byte_fallback, as in Gemma 4", "BPE with ignore_merges"
        ),
        (
            SmallFile().text.replacingOccurrences(of: "\"vocab\"", with: "\"pieces\""), .malformed, "model",
            "vocab and merges", "no vocab"
        ),
        (
            SmallFile().text.replacingOccurrences(of: "\"merges\"", with: "\"pairs\""), .malformed, "model",
            "vocab and merges", "no merges"
        ),
        (
            SmallFile.with { $0.normalizer = "null" }, .unsupported, "normalizer",
            "Replace \" \" by \"▁\", as in Gemma 4", "none"
        ),
        (
            SmallFile.with { $0.normalizer = #"{"type": "NFC"}"# }, .unsupported, "normalizer",
            "Replace \" \" by \"▁\", as in Gemma 4", "NFC"
        ),
        (
            SmallFile.with {
                $0.normalizer =
                    #"{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, \#($0.normalizer)]}"#
            }, .unsupported, "normalizer", "Replace \" \" by \"▁\", as in Gemma 4", "Prepend, Replace \" \" by \"▁\""
        ),
        (
            SmallFile.with { $0.pieces += ", \"c\": 258" }, .invalidVocabulary, "model.vocab", "each id once",
            "258 twice, again for \"c\""
        ),
        (
            SmallFile.with { $0.pieces += ", \"ab\": 270" }, .invalidVocabulary, "model.vocab", "each piece once",
            "\"ab\" twice"
        ),
        (
            SmallFile.with { $0.pieces += ", \"c\": -1" }, .invalidVocabulary, "model.vocab", "an id from 0 to 4194303",
            "-1 for \"c\""
        ),
        (
            SmallFile.with { $0.pieces += ", \"c\": 4194304" }, .invalidVocabulary, "model.vocab",
            "an id from 0 to 4194303",
            "4194304 for \"c\""
        ),
        (
            SmallFile().text.replacingOccurrences(of: "\"<0x41>\": 65, ", with: ""), .missingPiece, "model.vocab",
            "a piece for every byte", "no <0x41>, and no <unk> in its place"
        ),
        (
            SmallFile.with { $0.merges = #"["a b", "a c", "c a"]"# }, .invalidMerge, "model.merges[1]",
            "two pieces that join to a third",
            "\"a\" and \"c\", one of the three not in model.vocab, as in 2 of 3 merges"
        ),
        (
            SmallFile.with { $0.merges = #"[["b", "a"]]"# }, .invalidMerge, "model.merges[0]",
            "two pieces that join to a third",
            "\"b\" and \"a\", one of the three not in model.vocab, as in 1 of 1 merges"
        ),
        (
            SmallFile.with { $0.merges = #"[["a", "b"], ["a"]]"# }, .malformed, "model.merges[1]", "two pieces",
            "another number"
        ),
        (SmallFile.with { $0.merges = #"["ab"]"# }, .malformed, "model.merges[0]", "two pieces", "another number"),
        (
            SmallFile.with { $0.addedTokens = #"[{"id": 260}]"# }, .malformed, "added_tokens[0]",
            "content and an id from 0 to 4194303", "content \"\", id 260"
        ),
        (
            SmallFile.with { $0.addedTokens = #"[{"content": "<x>"}]"# }, .malformed, "added_tokens[0]",
            "content and an id from 0 to 4194303", "content \"<x>\", id missing or negative"
        ),
        (
            SmallFile.with { $0.addedTokens = #"[{"id": 256, "content": "<x>"}]"# }, .invalidVocabulary,
            "added_tokens[0]",
            "\"<x>\" and its id as in model.vocab", "id 256"
        ),
    ]

    @Test(arguments: refusals.indices)
    func refuses(index: Int) throws {
        let (text, code, place, expected, found) = Self.refusals[index]
        let error = try #require(throws: TokenizerError.self) { try open(text) }
        #expect(error == TokenizerError(code, file: "tokenizer.json", place: place, expected: expected, found: found))
    }

    @Test func saysWhatIsWrong() throws {
        let error = try #require(throws: TokenizerError.self) { try Tokenizer(contentsOf: "/nowhere/tokenizer.json") }
        #expect(error.code == .unreadable)
        #expect(
            error.description == """
                /nowhere/tokenizer.json, file: expected a readable tokenizer.json, found none. \
                Use the tokenizer.json published beside the weights.
                """)
    }

    @Test func refusesFilesOfGigabytes() throws {
        let error = try #require(throws: TokenizerError.self) {
            try TokenizerFile(Data(count: 1 << 30 + 1), path: "tokenizer.json")
        }
        #expect((error.place, error.expected, error.found) == ("file", "at most 1073741824 bytes", "1073741825"))
    }

    /// Truncated or altered files throw or open; they never trap.
    @Test func survivesDamage() throws {
        let bytes = Array(SmallFile().text.utf8)
        for end in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: TokenizerError.self) { try TokenizerFile(Data(bytes[..<end]), path: "cut") }
        }
        var generator = SplitMix(state: 20_260_714)
        for _ in 0..<2_000 {
            var damaged = bytes
            for _ in 0..<3 {
                damaged[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            do {
                _ = try Tokenizer(TokenizerFile(Data(damaged), path: "damaged")).encode("ab a")
            } catch let error as TokenizerError {
                #expect(error.file == "damaged")
            }
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same damage in every run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
