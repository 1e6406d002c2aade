import Foundation
import JSONText
import Testing

@testable import Tokenization

private func request(_ json: String) throws(ChatError) -> ChatRequest { try ChatRequest(json: Data(json.utf8)) }

/// The forms in which other programs hand over a conversation.
@Suite struct ChatRequestTests {
    @Test func readsOpenAIsRequest() throws {
        let read = try request(
            """
            {"model": "gemma", "stream": true, "user": "u", "n": 1, "messages": [{"role": "user", "content": "weather?"}],
             "tools": [{"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}}],
             "tool_choice": "auto", "temperature": 0, "top_p": 0.5, "max_completion_tokens": 7, "seed": 3,
             "frequency_penalty": 0.25, "presence_penalty": -1, "stop": "x", "response_format": {"type": "text"},
             "chat_template_kwargs": {"enable_thinking": true}}
            """)
        #expect(read.messages == [ChatMessage(.user, "weather?")])
        #expect(read.tools.count == 1 && read.tools[0]["function"]?["name"] == "w")
        #expect(read.temperature == 0 && read.topP == 0.5 && read.maxTokens == 7 && read.seed == 3)
        #expect(read.frequencyPenalty == 0.25 && read.presencePenalty == -1 && read.stop == ["x"])
        #expect(read.thinking == true && read.continueFinalMessage == nil && read.topK == nil)
    }

    @Test func readsOllamasRequest() throws {
        let read = try request(
            """
            {"model": "gemma4", "stream": false, "think": false, "keep_alive": "5m", "tools": null,
             "options": {"temperature": 0.5, "num_predict": 9, "top_k": 4, "repeat_penalty": 1.1, "stop": ["x", "y"]},
             "messages": [{"role": "user", "content": "what?", "images": ["QUJD"]},
              {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
              {"role": "tool", "tool_name": "f", "content": "2"}]}
            """)
        #expect(read.temperature == 0.5 && read.maxTokens == 9 && read.topK == 4 && read.repetitionPenalty == 1.1)
        #expect(read.thinking == false && read.tools.isEmpty && read.stop == ["x", "y"])
        #expect(
            read.messages[0]
                == ChatMessage(.user, parts: [.image("data:;base64,QUJD"), .text("what?")]))
        #expect(read.messages[1].reasoning == "hm" && read.messages[1].toolCalls.map(\.name) == ["f"])
        #expect(read.messages[2].name == "f")
    }

    @Test func aListOfMessagesIsARequest() throws {
        #expect(try request(#"[{"role": "user", "content": "a"}]"#) == ChatRequest(messages: [ChatMessage(.user, "a")]))
    }

    /// The declarations stay in the prompt, whatever is chosen.
    @Test(arguments: [
        ("null", ToolChoice.auto), (#""auto""#, .auto), (#""none""#, .none), (#""required""#, .required),
        (#"{"type": "function", "function": {"name": "g"}}"#, .named("g")),
    ])
    func toolsAreChosen(json: String, choice: ToolChoice) throws {
        let tools = ["f", "g"].map { #"{"type": "function", "function": {"name": "\#($0)"}}"# }.joined(separator: ", ")
        let read = try request(#"{"messages": [], "tools": [\#(tools)], "tool_choice": \#(json)}"#)
        #expect(read.toolChoice == choice && read.tools.count == 2 && read.parallelToolCalls)
        let single = try request(#"{"messages": [], "tools": [\#(tools)], "parallel_tool_calls": false}"#)
        #expect(single.toolChoice == .auto && !single.parallelToolCalls)
    }

    /// In base64, as a `data:` URL, or as a path, which has a dot; beside text or parts, before them.
    @Test func imagesBesideTheTextAreSeen() throws {
        let message = try ChatMessage.parse(
            json:
                #"[{"role": "user", "content": [{"type": "text", "text": "a"}], "images": ["a/b.png", "data:image/png;base64,QQ==", "iVBO/Q+="]}]"#
        )
        let kinds: [ContentPart.Kind] = [
            .medium(.image, reference: "a/b.png"), .medium(.image, reference: "data:image/png;base64,QQ=="),
            .medium(.image, reference: "data:;base64,iVBO/Q+="), .text("a"),
        ]
        guard case .parts(let parts) = message[0].content else { throw CocoaError(.coderInvalidValue) }
        #expect(parts.map(\.kind) == kinds)
    }

    /// Arguments as the text of their JSON, which holds whatever it likes.
    @Test(arguments: ChatTemplate.Generation.allCases)
    func argumentsMayBeJSONText(generation: ChatTemplate.Generation) throws {
        func messages(_ arguments: String) throws -> [ChatMessage] {
            try ChatMessage.parse(
                json:
                    #"[{"role": "user", "content": "w?"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "w", "arguments": \#(arguments)}}]}]"#
            )
        }
        let object = #"{"city": "Par\"is {x} <|tool_call> 日本", "id": 18446744073709551615}"#
        let template = ChatTemplate(generation, appendsEmptyThought: false)
        let fromText = try template.render(messages(JSONValue.string(object).json))
        #expect(fromText == (try template.render(messages(object))))
        #expect(
            fromText.text.contains(
                #"call:w{city:<|"|>Par"is {x} <|tool_call> 日本<|"|>,id:18446744073709551615}<tool_call|>"#))
        #expect(fromText.pieces.count { $0 == .control("<|tool_call>") } == 1)
    }

    @Test(arguments: [
        (
            #"{"prompt": "a"}"#,
            #"the conversation: expected an array of messages, or an object with "messages", found an object. Write [{"role": "user", "content": "…"}]."#
        ),
        (
            #"{"messages": [], "logit_bias": {"5": 1}}"#,
            "logit_bias: expected no such key, found an object. It is not read; leave it out."
        ),
        (#"{"messages": [], "stop": ["a", ""]}"#, #"stop[1]: expected a text that is not empty, found ""."#),
        (#"{"messages": [], "stop": 3}"#, "stop: expected an array, found 3."),
        (
            #"{"messages": [], "tool_choice": "required"}"#,
            #"tool_choice: expected "auto" or "none" without tools, found "required". Declare functions in tools."#
        ),
        (
            #"{"messages": [], "tools": [{"function": {"name": "f"}}], "tool_choice": {"type": "function", "function": {"name": "g"}}}"#,
            #"tool_choice.function.name: expected the name of one of the tools, found "g". There are f."#
        ),
        (
            #"{"messages": [], "tools": [{"function": {"name": "f"}}], "tool_choice": {"type": "custom", "custom": {"name": "g"}}}"#,
            "tool_choice.custom: expected no such key"
        ),
        (
            #"{"messages": [], "tool_choice": "any"}"#,
            #"tool_choice: expected "auto", "none", "required" or {"type": "function", "function": {"name": "…"}}, found "any"."#
        ),
        (
            #"{"messages": [], "parallel_tool_calls": 1}"#,
            "parallel_tool_calls: expected true or false, found 1."
        ),
        (#"{"messages": [], "temperature": -1}"#, "temperature: expected a number from 0.0 to 1000000.0, found -1."),
        (#"{"messages": [], "max_tokens": 0}"#, "max_tokens: expected an integer of 1 or more, found 0."),
        (#"{"messages": [], "n": 2}"#, "n: expected 1, the only value that is supported, found 2."),
        (
            #"{"messages": [], "presence_penalty": 2.5}"#,
            "presence_penalty: expected a number from -2.0 to 2.0, found 2.5"
        ),
        (
            #"{"messages": [], "response_format": {"type": "xml"}}"#,
            #"response_format.type: expected "text", "json_object""#
        ),
        (
            #"{"messages": [], "response_format": {"type": "json_schema"}}"#,
            "response_format.json_schema.schema: expected a JSON"
        ),
        (#"{"messages": [], "format": "xml"}"#, #"format: expected "json" or a JSON Schema"#),
        (#"{"messages": [], "options": {"mirostat": 2}}"#, "options.mirostat: expected no such key, found 2."),
        (
            #"{"messages": [{"role": "user", "content": "a", "attachments": ["x"]}]}"#,
            "messages[0].attachments: expected no such key, found an array of 1."
        ),
        (
            #"[{"role": "assistant", "content": null, "refusal": "No."}]"#,
            #"messages[0].refusal: expected no such key, found "No."."#
        ),
        (
            #"[{"role": "assistant", "function_call": {"name": "f"}}]"#,
            "messages[0].function_call: expected no such key"
        ),
        (
            #"[{"role": "user", "content": [{"type": "text", "text": "a", "image": "b.png"}]}]"#,
            #"messages[0].content[0].image: expected no such key, found "b.png"."#
        ),
        (
            #"[{"role": "user", "content": [{"type": "image", "image": "a.png", "audio": "b.wav"}]}]"#,
            "messages[0].content[0].audio: expected no such key"
        ),
        (
            #"[{"role": "user", "content": [{"type": "image", "url": "a.png", "caption": "b"}]}]"#,
            "messages[0].content[0].caption: expected no such key"
        ),
        (#"[{"role": "user", "content": "a", "images": [5]}]"#, "messages[0].images[0]: expected a string, found 5."),
        (
            #"[{"role": "assistant", "tool_calls": [{"function": {"name": "f", "parameters": {"a": 1}}}]}]"#,
            "messages[0].tool_calls[0].function.parameters: expected no such key"
        ),
    ])
    func whatNobodyReadsIsRefusedByName(json: String, message: String) throws {
        let error = try #require(throws: ChatError.self) { try request(json) }
        #expect(error.description.hasPrefix(message), "\(error)")
    }

    /// Empty keys that other services send along.
    @Test func emptyKeysArePassedOver() throws {
        let read = try request(
            #"[{"role": "assistant", "content": "a", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": []}]"#
        )
        #expect(read.messages == [ChatMessage(.assistant, "a")])
    }
}

/// As transformers' `continue_final_message`.
@Suite struct ContinuedMessageTests {
    private func text(_ generation: ChatTemplate.Generation, _ messages: [ChatMessage], thinking: Bool = false) throws
        -> String
    {
        try ChatTemplate(generation, appendsEmptyThought: true)
            .render(messages, thinking: thinking, continueFinalMessage: true).text
    }

    @Test(arguments: ChatTemplate.Generation.allCases)
    func endsWhereTheTextEnds(generation: ChatTemplate.Generation) throws {
        let start = "<bos><|turn>user\na<turn|>\n<|turn>model\n"
        for (content, expected) in [
            (ChatMessage.Content.text("The answer is"), start + "The answer is"),
            (.text(" The answer is \n"), start + "The answer is"),
            (.text("one <|turn> two"), start + "one <|turn> two"),
            (.parts([.text("x "), .text(" y ")]), start + "xy"),
            (.parts([.text("x"), .image("a.png")]), start + "x"),
            // As the reference, which trims the end of the whole prompt.
            (.text(""), String(start.dropLast())),
        ] {
            #expect(try text(generation, [ChatMessage(.user, "a"), ChatMessage(.assistant, content)]) == expected)
        }
    }

    @Test func aConversationOfOneMessageIsContinued() throws {
        #expect(try text(.july, [ChatMessage(.user, "Once upon")]) == "<bos><|turn>user\nOnce upon")
        #expect(
            try text(.july, [ChatMessage(.assistant, "a")], thinking: true)
                == "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>model\na")
    }

    @Test(arguments: [nil, .value(nil), .parts([]), .parts([.image("a.png")])] as [ChatMessage.Content?])
    func withoutATextThereIsNothing(content: ChatMessage.Content?) throws {
        let error = try #require(throws: ChatError.self) { try text(.july, [ChatMessage(.assistant, content)]) }
        #expect(error.description.hasPrefix("messages[0].content: expected text to continue, found none"))
        #expect(!ChatMessage(.assistant, content).canBeContinued)
    }
}
