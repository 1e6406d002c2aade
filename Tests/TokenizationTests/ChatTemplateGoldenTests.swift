import Foundation
import JSONText
import Testing

@testable import Tokenization

/// Random conversations, rendered by the published templates with Jinja2 (`Tests/Goldens/make_chat_goldens.py`).
@Suite struct ChatTemplateGoldenTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Goldens/chat")

    private static func template(_ name: String) throws -> ChatTemplate {
        let file = directory.appending(path: "chat_template-\(name).jinja")
        return ChatTemplate(source: try String(contentsOf: file, encoding: .utf8))
    }

    /// The rendered conversations, and the published template's output.
    private static func prompts(_ name: String) throws -> [(prompt: RenderedPrompt, expected: String)] {
        let template = try template(name)
        let data = try Data(contentsOf: directory.appending(path: "conversations.json"))
        guard case .array(let all) = try JSONValue(parsing: Array(data)) else { return [] }
        return try all.filter { $0["template"]?.string == name }.map { conversation in
            guard case .array(let tools) = conversation["tools"] else { throw CocoaError(.fileReadCorruptFile) }
            let prompt = try template.render(
                ChatMessage.parse(try #require(conversation["messages"])), tools: tools,
                thinking: conversation["thinking"] == true, preserveThinking: conversation["preserve"] == true,
                addGenerationPrompt: conversation["prompt"] == true)
            // Arguments that are a serialized object are rendered as the object, without additional braces.
            return (prompt, try #require(conversation["text"]?.string).replacing("{{}}", with: "{}"))
        }
    }

    @Test(arguments: ["july-small", "july-large", "mid-april-large", "release-large", "late-april-small"])
    func equalsThePublishedTemplate(name: String) throws {
        let prompts = try Self.prompts(name)
        #expect(prompts.count == 100)
        for (prompt, expected) in prompts {
            // Scalar by scalar: `==` would take "é" for "e\u{301}".
            #expect(
                prompt.text.unicodeScalars.elementsEqual(expected.unicodeScalars),
                "expected \(expected.debugDescription)")
        }
    }

    /// Tokenizing piece by piece gives the ids of the whole rendered text, unless a text spells a control token.
    @Test(arguments: ["july-small", "july-large", "mid-april-large", "release-large", "late-april-small"])
    func equalsTheIdsOfTheWholeText(name: String) throws {
        let tokenizer = try Vocabularies.gemma4.tokenizer
        let honest = try Self.prompts(name).map(\.prompt).filter { prompt in
            prompt.pieces.allSatisfy { piece in
                guard case .text(let text) = piece else { return true }
                // Not `text.contains`, which overlooks a marker with a combining mark behind it.
                return !text.utf8.contains("<|".utf8) && !text.utf8.contains("|>".utf8)
            }
        }
        #expect(honest.count > 10)
        for prompt in honest {
            let ids = try prompt.tokens(tokenizer) { medium, _, writer in
                writer.append([try #require(tokenizer.specialTokens["<|\(medium.rawValue)|>"])])
            }
            #expect(ids == tokenizer.encode(prompt.text, parseSpecial: true), "\(prompt.text.debugDescription)")
        }
    }

    @Test func givesThePublishedIds() throws {
        let tokenizer = try Vocabularies.gemma4.tokenizer
        let prompt = try ChatTemplate(.july, appendsEmptyThought: true).render([ChatMessage(.user, "Hi")])
        #expect(
            try prompt.tokens(tokenizer) { _, _, _ in } == [
                2, 105, 2364, 107, 10979, 106, 107, 105, 4368, 107, 100, 45518, 107, 101,
            ])
        let answer = [100, 45518, 107, 101, 10979, 106]
        #expect(
            ResponseParser.parse(answer, tokenizer) == Response(content: "Hi", reasoning: nil, toolCalls: []))
    }

    @Test(arguments: [
        ("july-small", ChatTemplate.Generation.july, false), ("july-large", .july, true),
        ("mid-april-large", .midApril, true), ("release-large", .release, true),
        ("late-april-small", .lateApril, false),
    ])
    func recognizesThePublishedTemplates(name: String, generation: ChatTemplate.Generation, hasEmptyThought: Bool)
        throws
    {
        let template = try Self.template(name)
        #expect(template.isRecognized)
        #expect(template.generation == generation)
        #expect(template.appendsEmptyThought == hasEmptyThought)
    }

    /// Comments, indentation and line ends do not affect recognition; everything else does.
    @Test(arguments: ["july-small", "july-large", "mid-april-large", "release-large", "late-april-small"])
    func recognizesTheTextAlone(name: String) throws {
        let file = Self.directory.appending(path: "chat_template-\(name).jinja")
        let source = try String(contentsOf: file, encoding: .utf8)
        let published = ChatTemplate(source: source)
        let copies = [
            source.replacing("\n", with: "\r\n"), "{#\n  Published: long ago\n#}\n" + source + "\n\n",
            source.replacing("\n    ", with: "\n\t"),
            source.replacing("{%- endmacro -%}\n", with: "{%- endmacro -%}\n{#- next -#}\n\n"),
        ]
        for copy in copies { #expect(copy != source && ChatTemplate(source: copy) == published) }
        let changed = [
            source.replacing("<turn|>\\n", with: "<turn|>"), source.replacing("| trim", with: ""),
            source.replacing("{%- endmacro -%}", with: "{% endmacro -%}"), source + "{{ '!' }}",
            source + "{# not closed",
            String(source.dropLast(12)),
        ]
        for template in changed.map({ ChatTemplate(source: $0) }) {
            #expect(!template.isRecognized && template.isSimilar && template.generation == published.generation)
            #expect(template.appendsEmptyThought == published.appendsEmptyThought)
        }
    }
}
