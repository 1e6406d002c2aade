import Foundation
import TestSupport
import Testing

private let checkpoint = Goldens.checkpoint("E2B")

private func generate(_ json: String, _ arguments: String...) async throws -> Program.Outcome {
    var program = Program(
        "generate", "--model", checkpoint, "--messages", "-", "--format", "json", input: Data(json.utf8))
    program.arguments += arguments
    return try await program.run()
}

/// Conversations in the forms of other programs.
@Suite struct RequestTests {
    /// The picture is seen: the prompt and the answer are those of Hugging Face's form.
    @Test func ollamasImagesAreSeen() async throws {
        let picture = try Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png")).base64EncodedString()
        let ours = try await generate(
            #"[{"role": "user", "content": [{"type": "image", "base64": "\#(picture)"}, {"type": "text", "text": "what?"}]}]"#,
            "--temperature", "0", "--max-tokens", "4")
        let theirs = try await generate(
            #"{"model": "m", "messages": [{"role": "user", "content": "what?", "images": ["\#(picture)"]}], "options": {"temperature": 0, "num_predict": 4}}"#
        )
        let expected: AnswerObject = try ours.decoded()
        let answer: AnswerObject = try theirs.decoded()
        #expect(expected.promptTokens.count > 50)
        #expect(answer.promptTokens == expected.promptTokens && answer.tokens == expected.tokens)
    }

    /// Sampling options of the request, unless a flag overrides them.
    @Test func samplingIsTheRequests() async throws {
        let message = #""messages": [{"role": "user", "content": "a"}]"#
        let request = #"{\#(message), "temperature": 1.5, "seed": 7, "top_k": 40, "max_tokens": 6}"#
        let first: AnswerObject = try await generate(request).decoded()
        let flags: AnswerObject = try await generate(
            "{\(message)}", "--temperature", "1.5", "--seed", "7", "--top-k", "40", "--max-tokens", "6"
        ).decoded()
        #expect(first.tokens == flags.tokens && first.tokens.count <= 6)
        let penalized =
            #"{\#(message), "temperature": 0, "max_tokens": 12, "presence_penalty": 2, "frequency_penalty": 2}"#
        let third: AnswerObject = try await generate(penalized, "--no-loop-guard").decoded()
        let unpenalized: AnswerObject = try await generate(
            "{\(message)}", "--temperature", "0", "--max-tokens", "12", "--no-loop-guard"
        ).decoded()
        let asFlags: AnswerObject = try await generate(
            "{\(message)}", "--temperature", "0", "--max-tokens", "12", "--presence-penalty", "2",
            "--frequency-penalty", "2", "--no-loop-guard"
        ).decoded()
        #expect(third.tokens == asFlags.tokens && third.tokens != unpenalized.tokens)
        let middle = String(unpenalized.text.dropFirst(unpenalized.text.count / 2).prefix(2))
        let quoted = String(decoding: try JSONEncoder().encode([middle]), as: UTF8.self)
        let stop = #"{\#(message), "temperature": 0, "max_tokens": 12, "stop": \#(quoted)}"#
        let stopped: AnswerObject = try await generate(stop, "--no-loop-guard").decoded()
        #expect(unpenalized.text.hasPrefix(stopped.text) && !stopped.text.contains(middle))
        #expect(stopped.tokens.count < unpenalized.tokens.count && stopped.finishReason == "stop")
        let greedy: AnswerObject = try await generate(request, "--temperature", "0", "--max-tokens", "3").decoded()
        let plain: AnswerObject = try await generate("{\(message)}", "--temperature", "0", "--max-tokens", "3")
            .decoded()
        #expect(greedy.tokens == plain.tokens && greedy.tokens.count <= 3)
    }

    /// Tools are part of the prompt; a request continues the assistant's last message, unless disabled.
    @Test func promptsAreThoseOfTheRequest() async throws {
        struct PromptObject: Decodable { let prompt: String }
        func prompt(_ json: String, _ arguments: String...) async throws -> String {
            var program = Program(
                "generate", "--model", checkpoint, "--messages", "-", "--print-prompt", input: Data(json.utf8))
            program.arguments += arguments
            let outcome = try await program.run()
            #expect(outcome.status == 0, "\(outcome.messages)")
            return outcome.text
        }
        let tools = try await prompt(
            #"{"messages": [{"role": "user", "content": "w?"}], "tools": [{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}"#
        )
        #expect(tools.contains("<|tool>declaration:get_weather{") && tools.hasSuffix("<|turn>model\n"))
        let prefill = #"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "The answer is"}]"#
        #expect(try await prompt(prefill).hasSuffix("<|turn>model\nThe answer is"))
        #expect(
            try await prompt(prefill, "--no-continue-final-message").hasSuffix(
                "The answer is<turn|>\n<|turn>model\n"))
        #expect(
            try await prompt(#"[{"role": "user", "content": "Once"}]"#, "--continue-final-message").hasSuffix(
                "user\nOnce"))
    }

    @Test func whatIsNotReadIsRefusedByName() async throws {
        let outcome = try await generate(#"[{"role": "user", "content": "what?", "attachments": ["a.png"]}]"#)
        #expect(outcome.status == 65 && outcome.bytes.isEmpty)
        #expect(
            outcome.messages
                == "gemma4: standard input, messages[0].attachments: expected no such key, found an array of 1. It is not read; leave it out.\n"
        )
        let usage = try await Program("generate", "a", "--continue-final-message").run()
        #expect(usage.status == 64 && usage.messages.contains("--continue-final-message needs --messages"))
    }

    /// A front end of other mel bands than the tower takes is a clear error, not a trap.
    @Test func otherMelBandsAreRefused() async throws {
        let directory = try TemporaryDirectory()
        for name in try FileManager.default.contentsOfDirectory(atPath: checkpoint)
        where name != "processor_config.json" {
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory.path)/\(name)", withDestinationPath: "\(checkpoint)/\(name)")
        }
        try directory.write(#"{"feature_extractor": {"feature_size": 80}}"#.utf8, to: "processor_config.json")
        let outcome = try await Program(
            "transcribe", "attachments/tone.wav", "--model", directory.path
        ).run()
        #expect(outcome.status == 65 && !outcome.wasKilled)
        #expect(
            outcome.messages.contains(
                "processor_config.json, feature_extractor.feature_size: expected 128, the mel bands that the audio tower takes, found 80."
            ), "\(outcome.messages)")
    }
}
