import Foundation
import JSONText
import TestSupport

@testable import Grammar
@testable import Tokenization

/// The tokenizer of a toy checkpoint.
private let tokenizer = Result { try Tokenizer(contentsOf: Goldens.checkpoint("E2B") + "/tokenizer.json") }

func readJSON(_ bytes: [UInt8]) throws {
    let value = try JSONValue(parsing: bytes)
    precondition(try! JSONValue(parsing: value.json) == value)
}

/// Messages, or a request object of OpenAI or Ollama, as `--messages` accepts; rendered in every chat format.
func readMessages(_ bytes: [UInt8]) throws {
    let request = try ChatRequest(json: Data(bytes))
    for generation in ChatTemplate.Generation.allCases {
        for continues in [false, true] {
            let prompt = try? ChatTemplate(generation, appendsEmptyThought: true).render(
                request.messages, tools: request.tools, thinking: continues, continueFinalMessage: continues)
            _ = try prompt?.tokens(tokenizer.get()) { _, _, writer in writer.append("medium") }
        }
    }
    if let schema = request.answerSchema { _ = try Grammar(schema: schema) }
}

/// A model's output, two bytes per token.
func readAnswer(_ bytes: [UInt8]) throws {
    let tokenizer = try tokenizer.get()
    let special = [
        "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|\"|>", "<|tool_response>", "<turn|>", "<eos>",
    ].compactMap { tokenizer.specialTokens[$0] }
    // 0xFF and a number stand for a marker; all else is text.
    var ids: [Int] = []
    for (index, text) in bytes.split(separator: 0xFF, omittingEmptySubsequences: false).enumerated() {
        var text = text
        if index > 0, let marker = text.popFirst() { ids.append(special[Int(marker) % special.count]) }
        ids += tokenizer.encode(String(decoding: text, as: UTF8.self))
    }
    for startsInThought in [false, true] {
        var parser = ResponseParser(tokenizer, startsInThought: startsInThought)
        for id in ids { _ = parser.append(id) }
        let response = parser.response
        precondition(ResponseParser.parse(ids, tokenizer, startsInThought: startsInThought) == response)
        for call in response.toolCalls { precondition((try? JSONValue(parsing: call.arguments.json)) != nil) }
    }
}

// MARK: Grammars

/// A vocabulary of 256 tokens, one for each byte.
private let byteTree = TokenTree(count: 256) { id, buffer in buffer.append(UInt8(id)) }

/// Takes some steps through a grammar; the masks must agree with what it accepts.
private func walk(_ grammar: Grammar) {
    var state = GrammarMatcher(grammar, byteTree).start
    for step in 0..<24 {
        _ = state.forcedBytes(limit: 16)
        let mask = state.mask
        let allowed = (0..<256).filter(mask.contains)
        if allowed.isEmpty { return precondition(state.isAccepting) }
        let byte = UInt8(allowed[step * 7 % allowed.count])
        // A mask may allow a few too many: `advance` is the judge.
        guard state.advance([byte]) else { return }
        _ = state.isFinal
    }
}

func readSchema(_ bytes: [UInt8]) throws { walk(try Grammar(schema: JSONValue(parsing: bytes))) }

/// Tool declarations and the grammar of their calls.
func readTools(_ bytes: [UInt8]) throws {
    guard case .array(let tools) = try JSONValue(parsing: bytes) else { return }
    for generation in ChatTemplate.Generation.allCases {
        _ = try? ChatTemplate(generation, appendsEmptyThought: false).render([ChatMessage(.user, "a")], tools: tools)
    }
    walk(
        try Grammar(
            calling: tools.map { ($0["function"]?["name"]?.string ?? "", $0["function"]?["parameters"] ?? .object([])) }
        ))
}

func readGBNF(_ bytes: [UInt8]) throws { walk(try Grammar(gbnf: String(decoding: bytes, as: UTF8.self))) }

func readRegularExpression(_ bytes: [UInt8]) throws {
    walk(try Grammar(regularExpression: String(decoding: bytes, as: UTF8.self)))
}
