import Foundation
import JSONText

@testable import Tokenization

extension Tokenizer {
    /// Every control token, every ASCII character and a double newline; all else as bytes.
    static func chat(without missing: String? = nil) throws -> Tokenizer {
        let control: [String] = [
            "<pad>", "<eos>", "<bos>", "<unk>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>",
            "<|tool_response>",
            "<tool_response|>", "<|\"|>", "<|think|>", "<|channel>", "<channel|>", "<|turn>", "<turn|>", "<|image>",
            "<|audio>",
            "<|image|>", "<|audio|>", "<image|>", "<audio|>", "<|video|>",
        ].filter { $0 != missing }
        let ascii = (0..<128).map { $0 == 0x20 ? "▁" : String(Unicode.Scalar($0)) }
        let bytes = (0..<256).map { String(format: "<0x%02X>", $0) }
        let vocabulary = (control + ascii + bytes + ["\n\n"]).enumerated().map { JSONValue.Member($1, .integer($0)) }
        let file: JSONValue = [
            "added_tokens": .array(
                control.enumerated().map { ["id": .integer($0), "content": .string($1), "special": true] }),
            "normalizer": ["type": "Replace", "pattern": ["String": " "], "content": "▁"],
            "model": ["type": "BPE", "byte_fallback": true, "vocab": .object(vocabulary), "merges": [["\n", "\n"]]],
        ]
        return try Tokenizer(TokenizerFile(Data(file.json.utf8), path: "tokenizer.json"))
    }
}
