import Foundation
import Testing

@testable import Gemma4Kit

/// Odds 8 : 4 : 2 : 1 : 1, in another order.
private let logits: [Float] = [1, 8, 2, 4, 1].map { logf($0) }

private func candidates(_ options: SamplingOptions) -> [Int] { Sampler(options).candidates(logits).map(\.token) }

@Test func greedyTakesTheFirstOfTheLikeliest() {
    var sampler = Sampler(.greedy)
    #expect(sampler.choose(logits, after: []) == 1)
    #expect(sampler.choose([0, 3, 3], after: []) == 1)
}

@Test func nothingIsDrawnFromNoNumbers() {
    var sampler = Sampler(.init(temperature: 1))
    #expect(sampler.choose([.nan, .nan], after: []) == nil)
    #expect(sampler.choose([-.infinity, .nan, 0], after: []) == 2)
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
    let drawn = Set((0..<300).map { _ in sampler.choose(logits, after: []) })
    #expect(drawn == [0, 2, 4])
    var greedy = Sampler(.greedy, suppressed: [1], media: [3])
    #expect(greedy.choose(logits, after: []) == 3)  // the reference knows no list but the file's
}

@Test func repetitionPenaltyPushesBothSignsDown() {
    var sampler = Sampler(.init(repetitionPenalty: 2))
    #expect(sampler.choose([3, 2, -1], after: [0]) == 1)
    #expect(sampler.choose([-3, -2, -3], after: [1, 1]) == 0)
}

@Test func drawsFollowTheOddsAndTheSeed() {
    func draws(_ seed: UInt64) -> [Int] {
        var sampler = Sampler(.init(temperature: 1, seed: seed))
        return (0..<4000).compactMap { _ in sampler.choose(logits, after: []) }
    }
    #expect(draws(1) == draws(1))
    #expect(draws(1) != draws(2))
    // Binomial with p = 1/2 and 4000 draws: the standard deviation is 32; five of them.
    #expect(abs(draws(3).count { $0 == 1 } - 2000) < 160)
}
