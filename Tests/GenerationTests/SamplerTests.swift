import Foundation
import Grammar
import Testing

@testable import Generation

/// Odds 8 : 4 : 2 : 1 : 1, in another order.
private let logits: [Float] = [1, 8, 2, 4, 1].map { logf($0) }

private func candidates(_ options: SamplingOptions) -> [Int] { Sampler(options).candidates(logits).map(\.token) }

@Test func greedyTakesTheFirstOfTheLikeliest() {
    var sampler = Sampler(.greedy)
    #expect(sampler.choose(logits) == 1)
    #expect(sampler.choose([0, 3, 3]) == 1)
}

@Test func nothingIsDrawnFromNoNumbers() {
    var sampler = Sampler(.init(temperature: 1))
    #expect(sampler.choose([.nan, .nan]) == nil)
    #expect(sampler.choose([-.infinity, .nan, 0]) == 2)
}

@Test func truncationKeepsWhatTransformersKeeps() {
    #expect(candidates(.init(temperature: 1)) == [1, 3, 2, 0, 4])
    #expect(candidates(.init(temperature: 1, topK: 2)) == [1, 3])
    // Tokens that tie with the last of the k stay, as in transformers' TopKLogitsWarper.
    #expect(candidates(.init(temperature: 1, topK: 4)) == [1, 3, 2, 0, 4])
    #expect(candidates(.init(temperature: 1, topP: 0.5)) == [1])
    #expect(candidates(.init(temperature: 1, topP: 0.7)) == [1, 3])
    #expect(candidates(.init(temperature: 1, topP: 0.76)) == [1, 3, 2])
    #expect(candidates(.init(temperature: 1, minP: 0.3)) == [1, 3])
    // Squared odds 64 : 16 : 4 : 1 : 1 at half the temperature.
    #expect(candidates(.init(temperature: 0.5, topP: 0.76)) == [1, 3])
    #expect(candidates(.init(temperature: 1, topK: 3, topP: 0.6)) == [1, 3])
}

@Test func suppressedAndMediaTokensAreNeverDrawn() {
    var sampler = Sampler(.init(temperature: 1, seed: 7), suppressed: [1], media: [3])
    let drawn = Set((0..<300).map { _ in sampler.choose(logits) })
    #expect(drawn == [0, 2, 4])
    var greedy = Sampler(.greedy, suppressed: [1], media: [3])
    #expect(greedy.choose(logits) == 3)  // the reference knows no list but the file's
}

@Test func repetitionPenaltyPushesBothSignsDown() {
    var positive = Sampler(.init(repetitionPenalty: 2), prompt: [0])
    #expect(positive.choose([3, 2, -1]) == 1)
    var negative = Sampler(.init(repetitionPenalty: 2), prompt: [1, 1])
    #expect(negative.choose([-3, -2, -3]) == 0)
    var answered = Sampler(.init(repetitionPenalty: 2))
    answered.accept(0)
    #expect(answered.choose([3, 2, -1]) == 1)
}

/// 3.0 − 0.4 − 2 · 0.4 = 1.8 after two tokens, 2.2 after one.
@Test func presenceAndFrequencyCountTheAnswerAlone() {
    var sampler = Sampler(.init(presencePenalty: 0.4, frequencyPenalty: 0.4), prompt: [0, 0, 0])
    #expect(sampler.choose([3, 2, 0]) == 0)
    sampler.accept(0)
    #expect(sampler.choose([3, 2, 0]) == 0)
    sampler.accept(0)
    #expect(sampler.choose([3, 2, 0]) == 1)
}

@Test func biasAndMaskDecide() {
    var sampler = Sampler(.init(logitBias: [2: 5, 0: -.infinity]))
    #expect(sampler.choose([9, 2, 0]) == 2)
    var mask = TokenMask(count: 3)
    mask.insert(1)
    #expect(sampler.choose([9, 2, 0], allowed: mask) == 1)
    #expect(sampler.choose([9, 2, 0], allowed: TokenMask(count: 3)) == nil)
    var drawn = Sampler(.init(temperature: 2, seed: 1))
    #expect((0..<50).allSatisfy { _ in drawn.choose([9, 2, 0], allowed: mask) == 1 })
}

@Test func drawsFollowTheOddsAndTheSeed() {
    func draws(_ seed: UInt64) -> [Int] {
        var sampler = Sampler(.init(temperature: 1, seed: seed))
        return (0..<4000).compactMap { _ in sampler.choose(logits) }
    }
    #expect(draws(1) == draws(1))
    #expect(draws(1) != draws(2))
    // Binomial with p = 1/2 and 4000 draws: the standard deviation is 32; five of them.
    #expect(abs(draws(3).count { $0 == 1 } - 2000) < 160)
}
