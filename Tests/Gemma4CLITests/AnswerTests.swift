import Foundation
import TestSupport
import Testing

/// Cases in which random weights open a channel or a call: transformers' text contains it, our answer does not.
private let opensChannel = ["E2B image-turns", "E4B stop", "E4B image", "E4B audio", "12B image"]

private func expectAnswer(_ answer: AnswerObject, equals golden: GoldenCase) {
    #expect(answer.promptTokens == golden.promptTokens)
    #expect(answer.tokens == golden.tokens)
    if opensChannel.contains(golden.testDescription) {
        #expect(golden.text.hasPrefix(answer.text) && golden.text != answer.text)
    } else {
        #expect(answer.text == golden.text)
    }
    #expect(answer.finishReason == golden.finishReason)
    expectClose(answer.logprobs, golden.logprobs, absolute: logprobTolerance)
}

@Test(arguments: GoldenCase.all)
func generateAnswersAsTransformersDoes(golden: GoldenCase) async throws {
    let outcome = try await Program(
        "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--temperature", "0",
        "--max-tokens",
        "\(golden.tokens.count)", "--thinking", golden.thinking ? "on" : "off", "--format", "json"
    ).run()
    #expect(outcome.status == 0 && outcome.messages.isEmpty)
    let answer: AnswerObject = try outcome.decoded()
    expectAnswer(answer, equals: golden)
    #expect(answer.file == nil)
    #expect(
        Set(answer.timings.keys) == [
            "encode_seconds", "prefill_seconds", "decode_seconds", "prefill_tokens_per_second",
            "decode_tokens_per_second", "cached_tokens",
        ])
}

/// The prompts of all conversations are seen by `promptsAreTransformers`; here that they are printed.
@Test(arguments: GoldenCase.named("thinking", "image-turns").filter { ["E4B", "31B"].contains($0.variant) })
func printPromptRendersAsTransformersDoes(golden: GoldenCase) async throws {
    let outcome = try await Program(
        "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--thinking",
        golden.thinking ? "on" : "off",
        "--print-prompt"
    ).run()
    #expect(outcome.status == 0)
    #expect(outcome.text == golden.prompt)
}

@Test func printPromptKnowsTheIdsAfterExpansion() async throws {
    struct PromptObject: Decodable {
        let prompt: String
        let promptTokens: [Int]
    }
    let golden = try GoldenCase.one("E2B", "image-audio")
    let outcome = try await Program(
        "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--print-prompt", "--format",
        "json"
    ).run()
    let object: PromptObject = try outcome.decoded()
    #expect(object.prompt == golden.prompt)
    #expect(object.promptTokens == golden.promptTokens)
}

/// A transcript is the answer to the instruction and the recording; here with the instruction of a golden.
@Test(arguments: GoldenCase.named("audio"))
func transcribeAnswersAsTransformersDoes(golden: GoldenCase) async throws {
    let program = Program(
        "transcribe", "--model", golden.checkpoint, "attachments/chirp.wav", "--instruction", try golden.instruction,
        "--max-tokens",
        "\(golden.tokens.count)", "--format", "json")
    let transcript: TranscriptObject = try await program.run().decoded()
    let segment = try #require(transcript.segments.first)
    #expect(transcript.segments.count == 1 && segment.tokens == golden.tokens)
    #expect(segment.finishReason == golden.finishReason)
    let mean = golden.logprobs.reduce(0, +) / Float(golden.logprobs.count)
    expectClose([Float(segment.avgLogprob)], [mean], absolute: logprobTolerance)
}

@Test(arguments: GoldenCase.named("image"))
func captionAnswersAsTransformersDoes(golden: GoldenCase) async throws {
    let program = Program(
        "caption", "--model", golden.checkpoint, "attachments/wide.png", "--instruction", try golden.instruction,
        "--max-tokens",
        "\(golden.tokens.count)", "--format", "json")
    let answer: AnswerObject = try await program.run().decoded()
    expectAnswer(answer, equals: golden)
    #expect(answer.file == "attachments/wide.png")
}

/// The flags for images, text and recordings make the same turn as the messages file.
@Test func flagsMakeTheTurnThatMessagesSpell() async throws {
    let golden = try GoldenCase.one("E2B", "image-audio")
    let answer: AnswerObject = try await Program(
        "generate", "--model", golden.checkpoint, "--image", "attachments/wide.png", "--audio", "attachments/chirp.wav",
        try golden.instruction, "--temperature", "0", "--max-tokens", "20", "--format", "json"
    ).run().decoded()
    expectAnswer(answer, equals: golden)
}

@Test func textIsTheAnswerAndALineEnd() async throws {
    let golden = try GoldenCase.one("E2B", "image")
    let outcome = try await Program(
        "caption", "attachments/wide.png", "--instruction", try golden.instruction, "--max-tokens", "20", "--model",
        golden.checkpoint
    ).run()
    #expect(outcome.text == golden.text + "\n")
    #expect(outcome.messages.isEmpty)
}

@Test func logprobsAreListedBesideTheText() async throws {
    let golden = try GoldenCase.one("E2B", "stop")
    let outcome = try await Program(
        "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--temperature", "0", "--logprobs"
    ).run()
    #expect(outcome.text == golden.text + "\n")
    let ids = outcome.messages.split(separator: "\n").map { Int($0.split(separator: "\t")[1]) }
    #expect(ids == golden.tokens)
}

@Test func anAnswerCutByTheDefaultLengthSaysSo() async throws {
    let checkpoint = try GoldenCase.one("E4B", "text").checkpoint
    // With greedy decoding, this prompt repeats itself.
    let outcome = try await Program(
        "generate", "--model", checkpoint, "a", "--temperature", "0", "--no-loop-guard"
    ).run()
    #expect(outcome.status == 0)
    #expect(outcome.messages == "gemma4: warning: the answer was cut off after 1024 tokens; --max-tokens makes room\n")
}

@Test func anAnswerThatGoesRoundInACircleIsEnded() async throws {
    let checkpoint = try GoldenCase.one("E4B", "text").checkpoint
    let text = try await Program("generate", "--model", checkpoint, "a", "--temperature", "0").run()
    #expect(text.status == 0)
    #expect(
        text.messages
            == "gemma4: warning: the answer went round in a circle and was ended; --no-loop-guard lets it go on\n")
    let answer: AnswerObject = try await Program(
        "generate", "--model", checkpoint, "a", "--temperature", "0", "--format", "json"
    ).run().decoded()
    #expect(answer.finishReason == "repetition" && answer.tokens.count < 1024)
}

// MARK: Several files, standard input

@Test func severalFilesAreLabelledAndOneThatFailsDoesNotStopTheOthers() async throws {
    let golden = try GoldenCase.one("E2B", "image")
    let outcome = try await Program(
        "caption", "--model", golden.checkpoint, "attachments/wide.png", "attachments/none.png", "attachments/tone.wav",
        "attachments/tall.png",
        "--instruction", try golden.instruction, "--max-tokens", "20"
    ).run()
    #expect(outcome.status == 66, "the first failure's: no such file")
    #expect(outcome.text.hasPrefix("attachments/wide.png: \(golden.text)\nattachments/tall.png: "))
    let messages = outcome.messages.split(separator: "\n")
    #expect(messages.count == 2)
    #expect(messages[0].contains("attachments/none.png: expected a readable file, found no such file"))
    #expect(messages[1].contains("attachments/tone.wav: expected"))
}

@Test func severalFilesGiveAnObjectInALineEach() async throws {
    let checkpoint = try GoldenCase.one("E2B", "image").checkpoint
    let outcome = try await Program(
        "caption", "--model", checkpoint, "attachments/wide.png", "attachments/tall.png", "--max-tokens", "3",
        "--format", "json"
    ).run()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let answers = try outcome.text.split(separator: "\n").map {
        try decoder.decode(AnswerObject.self, from: Data($0.utf8))
    }
    #expect(answers.map(\.file) == ["attachments/wide.png", "attachments/tall.png"])
    #expect(answers.allSatisfy { $0.tokens.count == 3 })
}

@Test func mediaAndPromptsComeFromStandardInput() async throws {
    let checkpoint = try GoldenCase.one("E2B", "audio").checkpoint
    let audio = try GoldenCase.one("E2B", "audio")
    let recording = try Data(contentsOf: Goldens.folder.appending(path: "attachments/chirp.wav"))
    let transcript = try await Program(
        "transcribe", "-", "--model", checkpoint, "--instruction", try audio.instruction, "--max-tokens", "20",
        input: recording
    ).run()
    let lines = audio.text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    #expect(transcript.text == lines.filter { !$0.isEmpty }.joined(separator: " ") + "\n")

    let text = try GoldenCase.one("E2B", "suppressed")
    let answer = try await Program(
        "generate", "-", "--model", checkpoint, "--temperature", "0", "--max-tokens", "20",
        input: Data("Describe the sound of 4.\n".utf8)
    ).run()
    #expect(answer.text == text.text + "\n")

    let conversation = try Data(contentsOf: URL(filePath: text.messagesFile))
    let same = try await Program(
        "generate", "--messages", "-", "--model", checkpoint, "--temperature", "0", "--max-tokens", "20",
        input: conversation
    ).run()
    #expect(same.text == answer.text)
}

@Test func theModelMayComeFromTheEnvironment() async throws {
    var program = Program("tokenize", "a")
    program.environment = ["GEMMA4_MODEL": try GoldenCase.one("E2B", "text").checkpoint]
    #expect(try await program.run().status == 0)
}

// MARK: Sampling

/// The checkpoint's generation_config.json enables sampling.
@Test func generateSamplesAsTheCheckpointAsks() async throws {
    let golden = try GoldenCase.one("E2B", "text")
    func tokens(_ flags: String...) async throws -> [Int] {
        var program = Program(
            "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--max-tokens", "20")
        program.arguments += ["--format", "json"] + flags
        return try await program.run().decoded(as: AnswerObject.self).tokens
    }
    let first = try await tokens("--seed", "1")
    #expect(try await tokens("--seed", "1") == first)
    #expect(try await tokens("--seed", "2") != first)
    #expect(try await tokens("--top-k", "1") == golden.tokens, "one candidate is left: the likeliest")
    #expect(try await tokens("--min-p", "1") == golden.tokens)
    #expect(try await tokens("--repetition-penalty", "100", "--temperature", "0") != golden.tokens)
}

/// The answer ends before the stop string, which is not printed.
@Test func generateEndsBeforeAStopString() async throws {
    let golden = try GoldenCase.one("E2B", "text")
    let text = Array(golden.text)
    let stop = String(text[text.count / 2..<text.count / 2 + 3])
    func run(_ flags: String...) async throws -> Program.Outcome {
        var program = Program(
            "generate", "--model", golden.checkpoint, "--messages", golden.messagesFile, "--max-tokens", "20")
        program.arguments += ["--temperature", "0"] + flags
        return try await program.run()
    }
    let before = String(golden.text[..<(try #require(golden.text.firstRange(of: stop))).lowerBound])
    let answer = try await run("--stop", "never said", "--stop", stop, "--format", "json").decoded(
        as: AnswerObject.self)
    #expect(answer.text == before && answer.finishReason == "stop")
    #expect(try await run("--stop", stop).text == before + "\n")
    let refused = try await run("--stop", "")
    #expect(refused.status == 64 && refused.messages.contains("--stop: expected a text, found none"))
}

@Test func captionIsGreedyUnlessAFlagAsksForSampling() async throws {
    let golden = try GoldenCase.one("E2B", "image")
    func text(_ flags: String...) async throws -> String {
        var program = Program(
            "caption", "attachments/wide.png", "--model", golden.checkpoint, "--instruction", try golden.instruction,
            "--max-tokens", "20")
        program.arguments += flags
        return try await program.run().text
    }
    #expect(try await text("--seed", "1") == golden.text + "\n")
    #expect(try await text("--seed", "1", "--temperature", "2") != golden.text + "\n")
    #expect(try await text("--seed", "1", "--top-k", "20") != golden.text + "\n", "at temperature 1")
}
