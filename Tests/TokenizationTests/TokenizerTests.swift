import Foundation
import Testing
@testable import Tokenization

/// A vocabulary of a few pieces in the published structure.
private func tinyFile(merges: String, vocab: String = #""a":3,"b":4,"ab":5,"▁":6,"▁ab":7"#) -> Data {
    let bytes = (0..<256).map { String(format: #""<0x%02X>":%d"#, $0, 100 + $0) }.joined(separator: ",")
    return Data(
        """
        {"added_tokens":[{"id":0,"content":"<pad>","special":true},{"id":1,"content":"<|turn>","special":true}],
        "normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},
        "model":{"type":"BPE","byte_fallback":true,"vocab":{\(vocab),\(bytes)},"merges":\(merges)}}
        """.utf8)
}

@Test(arguments: [#"[["a","b"],["▁","ab"]]"#, #"["a b","▁ ab"]"#])
func mergesInEitherForm(merges: String) throws {
    let tokenizer = try Tokenizer(TokenizerFile(tinyFile(merges: merges), path: "tokenizer.json"))
    #expect(tokenizer.encode("ab ab\u{e9}") == [5, 7, 100 + 0xc3, 100 + 0xa9])
    #expect(tokenizer.decode([5, 7, 100 + 0xc3, 100 + 0xa9]) == "ab ab\u{e9}")
    #expect(tokenizer.encode("<|turn>a", parseSpecial: true) == [1, 3])
    #expect(!tokenizer.encode("<|turn>a").contains(1))
}
