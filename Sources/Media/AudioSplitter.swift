/// Splits a recording into consecutive pieces that the model processes one by one. Cuts at the quietest moment before
/// the limit, so that words stay whole. No sample is lost or duplicated.
package struct AudioSplitter: Sendable {
    /// 30 s at 16 kHz: what Gemma 4's audio encoder was trained on.
    package static let modelLimit = 480_000

    /// Maximum number of samples of a piece.
    package let maxSamples: Int
    /// Searches for the cut in this many samples before the limit.
    package let searchSamples: Int
    /// Minimum number of samples of a piece after a cut: shorter ones hold no words, and 160 samples or fewer cannot be
    /// processed at all.
    package let minSamples: Int

    /// Energy window of 100 ms, about a pause between words (the closure of a stop consonant is shorter), moved in
    /// steps of 10 ms.
    private static let windowSamples = 1_600
    private static let stepSamples = 160

    package init(maxSamples: Int = modelLimit, searchSamples: Int = 80_000, minSamples: Int = 16_000) {
        precondition(
            minSamples > 0 && searchSamples >= minSamples && maxSamples >= searchSamples + minSamples,
            "minSamples \(minSamples) <= searchSamples \(searchSamples) <= maxSamples \(maxSamples) - minSamples")
        self.maxSamples = maxSamples
        self.searchSamples = searchSamples
        self.minSamples = minSamples
    }

    /// Adjoining pieces of `samples` (16 kHz), in order; empty if `samples` is empty.
    package func pieces(of samples: [Float]) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        while samples.count - start > maxSamples {
            let latest = min(start + maxSamples, samples.count - minSamples)
            let cut = Self.quietest(in: samples, from: start + maxSamples - searchSamples, through: latest)
            pieces.append(start..<cut)
            start = cut
        }
        if start < samples.count { pieces.append(start..<samples.count) }
        return pieces
    }

    /// The position in the range around which the window has the least energy; the last one on ties.
    static func quietest(in samples: [Float], from first: Int, through last: Int) -> Int {
        var best = (energy: Double.infinity, point: last)
        for point in stride(from: last, through: first, by: -Self.stepSamples) {
            let window = max(0, point - Self.windowSamples / 2)..<min(samples.count, point + Self.windowSamples / 2)
            let energy = samples[window].reduce(0.0) { $0 + Double($1) * Double($1) } / Double(window.count)
            if energy < best.energy { best = (energy, point) }
        }
        return best.point
    }
}
