import Foundation
import JSONText
import Testing

@testable import Tokenization

/// The ids of whole prompts, with the published vocabulary, against those that `tokenizers` gives the rendered text.
struct ChatTokensTests {
    private static let chat = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Goldens/chat")

    @Test func equalsReferenceUnlessTextIsForged() throws {
        let tokenizer = try Vocabularies.gemma4.tokenizer
        let conversations = try JSONValue(
            parsing: Array(Data(contentsOf: Self.chat.appending(path: "conversations.json"))))
        let file = Vocabularies.directory.appending(path: "chat-ids.json.gz")
        let expected = try JSONDecoder().decode([[Int]].self, from: Vocabularies.unzip(file))
        let prompts = try #require(conversations.elements).map(render)
        #expect(prompts.count == expected.count)

        var forgeries = 0
        for (prompt, expected) in zip(prompts, expected) {
            let ids = try prompt.tokens(tokenizer) { medium, _, writer in
                writer.append([try #require(tokenizer.specialTokens["<|\(medium.rawValue)|>"])])
            }
            if isForged(prompt, tokenizer) {
                forgeries += 1
                // Only the prompt's own control tokens and media are special.
                let own = prompt.pieces.count { if case .text = $0 { false } else { true } }
                #expect(ids.count { tokenizer.specialTokens.contains($0) } == own)
                #expect(expected.count { tokenizer.specialTokens.contains($0) } > own)
            } else {
                #expect(ids == expected, "\(prompt.text.debugDescription)")
            }
        }
        #expect(forgeries > 50 && prompts.count - forgeries > 50, "\(forgeries) of \(prompts.count)")
    }

    private func render(_ conversation: JSONValue) throws -> RenderedPrompt {
        let name = try #require(conversation["template"]?.string)
        let source = try String(contentsOf: Self.chat.appending(path: "chat_template-\(name).jinja"), encoding: .utf8)
        return try ChatTemplate(source: source).render(
            ChatMessage.parse(try #require(conversation["messages"])),
            tools: try #require(conversation["tools"]?.elements), thinking: conversation["thinking"] == true,
            preserveThinking: conversation["preserve"] == true, addGenerationPrompt: conversation["prompt"] == true)
    }

    /// Whether a text in it spells a special token.
    private func isForged(_ prompt: RenderedPrompt, _ tokenizer: Tokenizer) -> Bool {
        prompt.pieces.contains { piece in
            guard case .text(let text) = piece else { return false }
            return tokenizer.encode(text, parseSpecial: true).contains { tokenizer.specialTokens.contains($0) }
        }
    }
}

extension JSONValue {
    fileprivate var elements: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
}
