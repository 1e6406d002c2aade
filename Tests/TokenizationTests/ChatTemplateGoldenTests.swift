import Foundation
import Testing
import Tokenization

/// Random conversations, rendered by the published templates with Jinja2 (`Tests/Goldens/make_chat_goldens.py`).
@Suite struct ChatTemplateGoldenTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Goldens/chat")

    private static func template(_ name: String) throws -> ChatTemplate {
        let file = directory.appending(path: "chat_template-\(name).jinja")
        return ChatTemplate(source: try String(contentsOf: file, encoding: .utf8))
    }

    @Test(arguments: ["july-small", "july-large", "mid-april-large"])
    func equalsThePublishedTemplate(name: String) throws {
        let template = try Self.template(name)
        let data = try Data(contentsOf: Self.directory.appending(path: "conversations.json"))
        guard case .array(let all) = try JSONValue(parsing: Array(data)) else {
            Issue.record("conversations.json is no array")
            return
        }
        let conversations = all.filter { $0["template"]?.string == name }
        #expect(conversations.count == 100)
        for conversation in conversations {
            guard case .array(let tools) = conversation["tools"] else {
                Issue.record("no tools in \(conversation.json)")
                continue
            }
            let prompt = try template.render(
                ChatMessage.parse(try #require(conversation["messages"])), tools: tools,
                thinking: conversation["thinking"] == true, preserveThinking: conversation["preserve"] == true,
                addGenerationPrompt: conversation["prompt"] == true)
            #expect(
                prompt.text.utf8.elementsEqual(try #require(conversation["text"]?.string).utf8), "\(conversation.json)")
        }
    }

    @Test(arguments: [
        ("july-small", ChatTemplate.Generation.july, false), ("july-large", .july, true),
        ("mid-april-large", .midApril, true),
    ])
    func recognizesThePublishedTemplates(name: String, generation: ChatTemplate.Generation, hasEmptyThought: Bool)
        throws
    {
        let template = try Self.template(name)
        #expect(template.isRecognized)
        #expect(template.generation == generation)
        #expect(template.appendsEmptyThought == hasEmptyThought)
    }
}
