import Foundation
import Testing

@testable import Tokenization

@Suite struct ChatMessageTests {
    @Test func readsTheFormOfHuggingFace() throws {
        let messages = try ChatMessage.parse(
            json: """
                [{"role": "developer", "content": "Be brief."},
                 {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "image", "url": "http://x/b.png"},
                  {"type": "audio", "path": "a.wav"}, {"type": "video"}, {"type": "image_url", "image_url": {"url": "c.png"}},
                  {"type": "image_url", "image_url": "d.png"}, {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
                  {"type": "image", "base64": "QUJD"}, {"type": "text", "text": "What?"}]},
                 {"role": "model", "content": null, "reasoning": "", "reasoning_content": "why", "tool_calls":
                  [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": 1.0}}}],
                  "tool_responses": [{"name": "f", "response": {"t": 21}}]},
                 {"role": "tool", "tool_call_id": "c1", "name": "f", "content": 5},
                 {"role": "assistant"}]
                """)
        #expect(messages.map(\.role) == [.developer, .user, .assistant, .tool, .assistant])
        #expect(messages[0] == ChatMessage(.developer, "Be brief."))
        guard case .parts(let parts) = messages[1].content else {
            Issue.record("no parts: \(messages[1])")
            return
        }
        #expect(
            parts.map(\.kind) == [
                .medium(.image, reference: "a.png"), .medium(.image, reference: "http://x/b.png"),
                .medium(.audio, reference: "a.wav"),
                .medium(.video, reference: nil), .medium(.image, reference: "c.png"),
                .medium(.image, reference: "d.png"),
                .medium(.audio, reference: "data:audio/mp3;base64,QUJD"),
                .medium(.image, reference: "data:;base64,QUJD"), .text("What?"),
            ])
        var expected = ChatMessage(.assistant, .value(nil))
        expected.reasoning = "why"
        expected.toolCalls = [.init(id: "c1", name: "f", arguments: .object([.init("b", 1), .init("a", 1.0)]))]
        expected.toolResponses = [.init(name: "f", response: ["t": 21])]
        #expect(messages[2] == expected)
        #expect(messages[3].content == .value(5))
        #expect(messages[3].toolCallId == "c1")
        #expect(messages[4] == ChatMessage(.assistant))
    }

    @Test(
        arguments: [
            ("[{]", .invalidJSON, "line 1, column 3: expected a key in quotes, found ']'."),
            (
                "{}", .invalidValue,
                #"the conversation: expected an array of messages, found an object. Write [{"role": "user", "content": "…"}]."#
            ),
            ("[5]", .invalidValue, "messages[0]: expected an object, found 5."),
            (#"[{"content": "x"}]"#, .missingKey, "messages[0].role: expected a string, found nothing."),
            (
                #"[{"role": "user", "content": ""}, {"role": "bot"}]"#, .unknownRole,
                "messages[1].role: expected system, developer, user, assistant or tool, found \"bot\"."
            ),
            (
                #"[{"role": "user", "content": 5}]"#, .invalidValue,
                "messages[0].content: expected a string or an array of parts, found 5."
            ),
            (
                #"[{"role": "tool", "content": {"t": 21}}]"#, .invalidValue,
                "messages[0].content: expected a string or an array of parts, found an object. Send an object as the text of its JSON."
            ),
            (
                #"[{"role": "user", "content": ["x"]}]"#, .invalidValue,
                "messages[0].content[0]: expected an object, found \"x\"."
            ),
            (
                #"[{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "picture"}]}]"#,
                .unknownPartType,
                "messages[0].content[1].type: expected text, image, audio, video, image_url or input_audio, found \"picture\"."
            ),
            (
                #"[{"role": "user", "content": [{"text": "x"}]}]"#, .missingKey,
                "messages[0].content[0].type: expected a string, found nothing."
            ),
            (
                #"[{"role": "user", "content": [{"type": "text"}]}]"#, .missingKey,
                "messages[0].content[0].text: expected a string, found nothing."
            ),
            (
                #"[{"role": "user", "content": [{"type": "image", "image": 5}]}]"#, .invalidValue,
                "messages[0].content[0].image: expected a string, found 5."
            ),
            (
                #"[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#, .missingKey,
                "messages[0].content[0].image_url.url: expected a string, found nothing."
            ),
            (
                #"[{"role": "assistant", "tool_calls": {}}]"#, .invalidValue,
                "messages[0].tool_calls: expected an array, found an object."
            ),
            (
                #"[{"role": "assistant", "tool_calls": [{"name": "f"}]}]"#, .missingKey,
                "messages[0].tool_calls[0].function: expected an object, found nothing."
            ),
            (
                #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}]"#,
                .invalidValue,
                "messages[0].tool_calls[0].function.arguments: expected an object, found an array of 1."
            ),
            (
                #"[{"role": "assistant", "tool_responses": [{"name": "f"}]}]"#, .missingKey,
                "messages[0].tool_responses[0].response: expected a value, found nothing."
            ),
        ] as [(String, ChatError.Code, String)])
    func namesMessageAndKeyOfAnError(json: String, code: ChatError.Code, message: String) {
        let error = #expect(throws: ChatError.self) { try ChatMessage.parse(json: json) }
        #expect(error?.code == code)
        #expect(error?.description == message)
    }

    @Test func readsBytesWithAByteOrderMark() throws {
        #expect(try ChatMessage.parse(json: Data("\u{feff}[]".utf8)).isEmpty)
    }
}
