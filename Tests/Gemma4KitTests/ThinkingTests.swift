import Foundation
import Generation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4Kit

/// A thought that exceeds its budget is closed as in the chat format, and the answer follows.
@Suite struct ThinkingBudgetTests {
    private struct Outcome {
        let kinds: [Tokenization.TokenKind]
        let tokens: [Int]
        let answer: Answer
    }

    /// - Parameter isLogging: whether top log-probabilities are requested, so that forced tokens too go through the
    ///   model.
    private func outcome(
        _ pipeline: Gemma4Pipeline, budget: Int?, forced: String = "", isLogging: Bool = false
    ) async throws -> Outcome {
        let special = pipeline.tokenizer.specialTokens
        var options = GenerationOptions(
            sampling: .init(temperature: 1, seed: 3), maxTokens: 40, topLogprobs: isLogging ? 1 : 0, loopGuard: nil)
        options.endsAtStopTokens = false
        options.thinkingBudget = budget
        options.forcedTokens =
            try [#require(special["<|channel>"])] + pipeline.tokenizer.encode("thought\n")
            + pipeline.tokenizer.encode(forced)
        var (kinds, answer): ([Tokenization.TokenKind], Answer) = ([], Answer())
        for try await token in pipeline.generate(
            [ChatMessage(.user, "Why?")], prompt: PromptOptions(thinking: true), options: options)
        {
            kinds.append(token.kind)
            answer.append(token)
        }
        return Outcome(kinds: kinds, tokens: answer.tokens, answer: answer)
    }

    @Test(arguments: [0, 1, 4], [false, true])
    func aThoughtIsClosed(budget: Int, isLogging: Bool) async throws {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        let close = try #require(pipeline.tokenizer.specialTokens["<channel|>"])
        let newline = pipeline.tokenizer.encode("\n")
        let free = try await outcome(pipeline, budget: nil, isLogging: isLogging)
        let found = try await outcome(pipeline, budget: budget, isLogging: isLogging)
        let header = 1 + pipeline.tokenizer.encode("thought\n").count
        // The same tokens up to the budget; then a line break and the end of the thought.
        #expect(found.tokens.prefix(header + budget) == free.tokens.prefix(header + budget))
        let end = try #require(found.tokens.firstIndex(of: close))
        let thought = found.tokens[header..<end]
        #expect(free.tokens.firstIndex(of: close).map { $0 > end } ?? true)
        if budget > 0 {
            #expect(thought.count == budget || thought.count == budget + 1 && thought.suffix(1) == newline[...])
            #expect(pipeline.tokenizer.decode(Array(thought)).hasSuffix("\n"))
        } else {
            #expect(thought.isEmpty)
        }
        // The remainder is not a thought: the model continues after its end, and may not think again.
        #expect(found.tokens.count == 40 && found.kinds[(end + 1)...].allSatisfy { $0 != .thought })
        #expect(!found.answer.text.isEmpty)
        #expect(found.answer.message.reasoning != found.answer.text)
    }

    /// A thought that ends a line itself gets no second line end.
    @Test func aLineIsEndedOnce() async throws {
        let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        let text = "What\n"
        let count = pipeline.tokenizer.encode(text).count
        let found = try await outcome(pipeline, budget: count, forced: text)
        let header = 1 + pipeline.tokenizer.encode("thought\n").count
        #expect(found.tokens[header + count] == pipeline.tokenizer.specialTokens["<channel|>"])
    }
}
