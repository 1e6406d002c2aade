import Foundation
import Generation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

/// Two correct f32 programs differ on these nets by up to 1e-3 in log-probability (Tests/Goldens/README.md).
private let logprobTolerance: Float = 2e-3

private func promptOptions(_ golden: GoldenCase) -> PromptOptions {
    PromptOptions(thinking: golden.thinking, resolver: .files(in: golden.mediaFolder))
}

/// Every conversation with its media becomes transformers' prompt. That the answers are transformers' is seen by
/// `generateAnswersAsTransformersDoes` from outside, and by `promptAndAnswerAreTheReferences` without tokenizer and towers.
@Test(arguments: GoldenCase.all)
func promptsAreTransformers(golden: GoldenCase) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint))
    let prompt = try await pipeline.prompt(golden.messages, options: promptOptions(golden))
    #expect(prompt.text == golden.prompt)
    #expect(prompt.tokens == golden.promptTokens)
}

/// What only the library shows: tokens as they come, their kinds, and the statistics at the end. One conversation of each kind.
@Test(arguments: GoldenCase.named("text", "thinking", "image-turns", "image-audio").filter { $0.variant == "E2B" })
func tokensAndStatisticsOfAStream(golden: GoldenCase) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint))
    let options = GenerationOptions(sampling: .greedy, maxTokens: golden.tokens.count)
    var tokens: [GeneratedToken] = []
    for try await token in try pipeline.generate(
        golden.messages, prompt: promptOptions(golden), options: options)
    {
        #expect(tokens.last?.finish == nil)
        tokens.append(token)
    }
    #expect(tokens.map(\.id) == golden.tokens)
    expectClose(tokens.map(\.logprob), golden.logprobs, absolute: logprobTolerance)
    // Random weights of "image-turns" open a channel, whose tokens are no answer.
    let said = tokens.filter { $0.kind == .answer }.map(\.text).joined()
    #expect(golden.name == "image-turns" ? golden.text.hasPrefix(said) && said != golden.text : said == golden.text)
    let finish = try #require(tokens.last?.finish)
    #expect(finish.reason.rawValue == golden.finishReason)
    #expect(finish.statistics.promptTokens == golden.promptTokens.count && finish.statistics.cachedTokens == 0)
    #expect(finish.statistics.generatedTokens == golden.tokens.count)
    let hasMedia = try !golden.media.isEmpty
    #expect((finish.statistics.encodeSeconds > 0) == hasMedia)
}

@Test(arguments: GoldenCase.all.filter { ["long-text", "image-audio", "images"].contains($0.name) })
func scoresAsTransformersDoes(golden: GoldenCase) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: golden.checkpoint))
    let score = try await pipeline.score(pipeline.prompt(golden.messages, options: promptOptions(golden)))
    #expect(score.tokens == golden.promptTokens)
    #expect(score.logprobs.count == golden.promptLogprobs.count && score.logprobs[0] == nil)
    expectClose(
        score.logprobs.compactMap(\.self), golden.promptLogprobs.compactMap(\.self), absolute: logprobTolerance)
}
