import Foundation
import Testing

@testable import Tokenization

struct TokenizerFingerprintTests {
    @Test func knowsThePublishedVocabulary() throws {
        #expect(try Vocabularies.gemma4.tokenizer.fingerprint == Tokenizer.publishedFingerprint)
        #expect(try Vocabularies.tiny.tokenizer.fingerprint != Tokenizer.publishedFingerprint)
    }

    /// A GGUF file of the same vocabulary has the same one.
    @Test func isThatOfTheTokenizerNotOfTheFile() throws {
        let path = Vocabularies.directory.appending(path: "tiny.json").path
        let metadata = try TokenizerMetadata(contentsOf: path)
        #expect(try Tokenizer(metadata).fingerprint == Tokenizer(contentsOf: path).fingerprint)
    }

    @Test(arguments: [
        (#"["a b", "b c"]"#, #"["b c", "a b"]"#), (#""id": 262"#, #""id": 261"#),
        (#""ab": 258, "bc": 259"#, #""bc": 258, "ab": 259"#),
    ])
    func changesWithEveryPart(part: String, other: String) throws {
        let bytes = (0..<256).map { String(format: #""<0x%02X>": %d"#, $0, $0) }.joined(separator: ", ")
        let text = """
            {"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
             "added_tokens": [{"id": 262, "content": "<x>", "special": true}],
             "model": {"type": "BPE", "byte_fallback": true, "merges": ["a b", "b c"],
                       "vocab": {\(bytes), "a": 256, "b": 257, "ab": 258, "bc": 259, "c": 260}}}
            """
        func fingerprint(_ text: String) throws -> String {
            try Tokenizer(TokenizerFile(Data(text.utf8), path: "tokenizer.json")).fingerprint
        }
        let changed = text.replacingOccurrences(of: part, with: other)
        #expect(changed != text)
        #expect(try fingerprint(changed) != fingerprint(text))
    }
}
