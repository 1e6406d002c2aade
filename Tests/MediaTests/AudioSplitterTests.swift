import Media
import TestSupport
import Testing

@Suite struct AudioSplitterTests {
    /// Noise with silence in the given ranges.
    private func recording(_ count: Int, silent: Range<Int>...) -> [Float] {
        MediaGoldens.noise(count, seed: 4).enumerated().map { index, byte in
            silent.contains { $0.contains(index) } ? 0 : Float(byte) / 128 - 1
        }
    }

    @Test func whatFitsStaysWhole() {
        #expect(AudioSplitter().pieces(of: []).isEmpty)
        #expect(AudioSplitter().pieces(of: [0]) == [0..<1])
        #expect(AudioSplitter().pieces(of: recording(480_000)) == [0..<480_000])
    }

    /// The pauses are 0.2 s long, around 27 s and then around 26 s later; louder places nearer the limit lose.
    @Test func cutsInThePauses() throws {
        let pauses = [430_400..<433_600, 846_400..<849_600]
        let pieces = AudioSplitter().pieces(of: recording(1_000_000, silent: pauses[0], pauses[1]))
        try #require(pieces.count == 3)
        for (piece, pause) in zip(pieces, pauses) {
            // The 100 ms window around the cut is within the pause.
            #expect((pause.lowerBound + 800...pause.upperBound - 800).contains(piece.upperBound), "\(piece)")
        }
    }

    /// A pause before the last five seconds is not worth a short piece.
    @Test func looksOnlyNearTheLimit() {
        let pieces = AudioSplitter().pieces(of: recording(700_000, silent: 300_000..<310_000))
        #expect((400_000...480_000).contains(pieces[0].upperBound))
    }

    @Test(arguments: [480_001, 480_160, 496_000, 500_000, 960_000, 960_001, 1_500_000])
    func losesNothingAndLeavesNoSliver(count: Int) {
        for samples in [recording(count), [Float](repeating: 0, count: count)] {
            let pieces = AudioSplitter().pieces(of: samples)
            #expect(pieces.first?.lowerBound == 0 && pieces.last?.upperBound == count)
            for (piece, next) in zip(pieces, pieces.dropFirst()) { #expect(piece.upperBound == next.lowerBound) }
            #expect(pieces.allSatisfy { (16_000...480_000).contains($0.count) }, "\(pieces)")
        }
    }
}
