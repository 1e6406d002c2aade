import Foundation
import Generation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

/// Two correct f32 programs differ on these nets by up to 1e-3 in log-probability (Tests/Goldens/README.md).
private let logprobTolerance: Float = 2e-3

private func messages(_ golden: GoldenCase) throws -> [ChatMessage] {
    try ChatMessage.parse(json: Data(contentsOf: URL(filePath: golden.messagesFile)))
}

private func promptOptions(_ golden: GoldenCase) -> PromptOptions {
    PromptOptions(
        thinking: golden.thinking, resolver: .files(in: URL(filePath: golden.messagesFile).deletingLastPathComponent()))
}

/// From the conversation and its files to the answer: prompt, ids, tokens, text and reason are transformers'.
@Test(arguments: GoldenCase.all)
func answersAsTransformersDoes(golden: GoldenCase) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint))
    let options = promptOptions(golden)
    let prompt = try await pipeline.prompt(messages(golden), options: options)
    #expect(prompt.text == golden.prompt)
    #expect(prompt.tokens == golden.promptTokens)
    let generation = GenerationOptions(sampling: .greedy, maxTokens: golden.tokens.count)
    let answer = try await pipeline.generate(messages(golden), prompt: options, options: generation).answer()
    #expect(answer.tokens == golden.tokens)
    #expect(answer.finish?.reason.rawValue == golden.finishReason)
    expectClose(answer.logprobs, golden.logprobs, absolute: logprobTolerance)
}

@Test(arguments: GoldenCase.all.filter { ["long-text", "image-audio", "images"].contains($0.name) })
func scoresAsTransformersDoes(golden: GoldenCase) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint))
    let score = try await pipeline.score(pipeline.prompt(messages(golden), options: promptOptions(golden)))
    #expect(score.tokens == golden.promptTokens)
    #expect(score.logprobs.count == golden.promptLogprobs.count && score.logprobs[0] == nil)
    expectClose(
        score.logprobs.compactMap(\.self), golden.promptLogprobs.compactMap(\.self), absolute: logprobTolerance)
}
