import Foundation
import Grammar

/// Samples the tokens of one sequence from logits.
///
/// Order, as in transformers' `GenerationMixin._get_logits_processor`: repetition penalty, suppressed tokens,
/// temperature, top-k, top-p, min-p. OpenAI's penalties and the bias come after the repetition penalty.
///
/// A value type: a copy saves the state.
package struct Sampler: Sendable {
    let options: SamplingOptions
    /// Never sampled: `suppress_tokens` of the file.
    let suppressed: Set<Int>
    /// Never sampled at a temperature above 0: placeholder ids of media, which an answer cannot contain. Greedy
    /// decoding suppresses only the file's list, as the reference does.
    let media: Set<Int>
    private var random: SplitMix64
    private let prompt: Set<Int>
    /// Occurrences of each token in the answer.
    private var counts: [Int: Int] = [:]

    /// - Parameter prompt: the ids before the answer, for the repetition penalty.
    package init(
        _ options: SamplingOptions, prompt: [Int] = [], suppressed: Set<Int> = [], media: Set<Int> = []
    ) {
        self.options = options
        self.suppressed = suppressed
        self.media = media
        self.prompt = options.repetitionPenalty == 1 ? [] : Set(prompt)
        random = SplitMix64(state: options.seed ?? .random(in: 0 ... .max))
    }

    /// Whether the plain argmax is chosen, so that logits need not be copied.
    var isPlain: Bool {
        options.temperature <= 0 && options.repetitionPenalty == 1 && options.presencePenalty == 0
            && options.frequencyPenalty == 0 && options.logitBias.isEmpty
    }

    /// Adds a token to the sequence.
    mutating func accept(_ token: Int) { counts[token, default: 0] += 1 }

    /// - Parameters:
    ///   - logits: the logits of the whole vocabulary.
    ///   - allowed: the mask of tokens that may be sampled; nil: all.
    /// - Returns: nil if no logit is greater than −∞.
    package mutating func choose(_ logits: [Float], allowed: TokenMask? = nil) -> Int? {
        var logits = logits
        if options.repetitionPenalty != 1 {
            for token in prompt.union(counts.keys) where logits.indices.contains(token) {
                logits[token] =
                    logits[token] > 0
                    ? logits[token] / options.repetitionPenalty : logits[token] * options.repetitionPenalty
            }
        }
        if options.presencePenalty != 0 || options.frequencyPenalty != 0 {
            for (token, count) in counts where logits.indices.contains(token) {
                logits[token] -= options.presencePenalty + options.frequencyPenalty * Float(count)
            }
        }
        for (token, bias) in options.logitBias where logits.indices.contains(token) { logits[token] += bias }
        for token in suppressed where logits.indices.contains(token) { logits[token] = -.infinity }
        if let allowed {
            allowed.forEachOutside(below: logits.count) { logits[$0] = -.infinity }
        }
        guard options.temperature > 0 else { return Self.likeliest(logits) }
        for token in media where logits.indices.contains(token) { logits[token] = -.infinity }
        return draw(candidates(logits))
    }

    /// The first index of the maximum; nil if no logit is greater than −∞.
    static func likeliest(_ logits: [Float]) -> Int? {
        var best: (index: Int?, value: Float) = (nil, -.infinity)
        for index in logits.indices where logits[index] > best.value { best = (index, logits[index]) }
        return best.index
    }

    /// The candidate tokens and their odds, likeliest first.
    func candidates(_ logits: [Float]) -> [(token: Int, odds: Double)] {
        var tokens = logits.indices.filter { logits[$0] > -.infinity }
        if let topK = options.topK, topK > 0, topK < tokens.count { tokens = Self.top(topK, tokens, by: logits) }
        let largest = tokens.reduce(-Float.infinity) { max($0, logits[$1]) }
        var candidates = tokens.map {
            (token: $0, odds: exp(Double(logits[$0] - largest) / Double(options.temperature)))
        }
        if let topP = options.topP, topP < 1 {
            let total = candidates.reduce(0) { $0 + $1.odds }
            // All tokens below (1 − p) / n together have less than 1 − p: top-p drops them all, which leaves few to
            // sort.
            let negligible = (1 - Double(topP)) / Double(candidates.count) * total
            candidates = candidates.filter { $0.odds >= negligible }.sorted(by: Self.isLikelier)
            var sum = 0.0
            let last = candidates.firstIndex { candidate in
                sum += candidate.odds
                return sum >= Double(topP) * total
            }
            candidates = Array(candidates.prefix((last ?? candidates.count - 1) + 1))
        } else {
            candidates.sort(by: Self.isLikelier)
        }
        if let minP = options.minP, let best = candidates.first?.odds {
            candidates = candidates.filter { $0.odds >= Double(minP) * best }
        }
        return candidates
    }

    private static func isLikelier(_ a: (token: Int, odds: Double), _ b: (token: Int, odds: Double)) -> Bool {
        (b.odds, a.token) < (a.odds, b.token)
    }

    /// The k tokens with the largest logits, unordered; ties with the last are kept, as in transformers.
    private static func top(_ k: Int, _ tokens: [Int], by logits: [Float]) -> [Int] {
        var greatest: [Float] = []  // so far, ascending
        for token in tokens where greatest.count < k || logits[token] > greatest[0] {
            if greatest.count == k { greatest.removeFirst() }
            greatest.insert(logits[token], at: greatest.firstIndex { $0 > logits[token] } ?? greatest.count)
        }
        return tokens.filter { logits[$0] >= greatest[0] }
    }

    private mutating func draw(_ candidates: [(token: Int, odds: Double)]) -> Int? {
        let total = candidates.reduce(0) { $0 + $1.odds }
        var left = Double.random(in: 0..<1, using: &random) * total
        for candidate in candidates {
            left -= candidate.odds
            if left < 0 { return candidate.token }
        }
        return candidates.last?.token
    }
}

/// A seeded generator: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
package struct SplitMix64: RandomNumberGenerator, Sendable {
    var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
