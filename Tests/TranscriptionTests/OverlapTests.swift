import Foundation
import Generation
import Media
import TestSupport
import Testing

@testable import Transcription

/// Words of a lexicon of a hundred, spoken without pause, and a simulated model that transcribes a piece: whole words,
/// and of words at a cut their part, if it is at least a third. Whatever the segmenter does, no word may be duplicated
/// or lost.
@Suite struct OverlapTests {
    private struct Spoken {
        let word: String
        let range: Range<Int>
    }

    /// Words of 0.25 to 0.55 s that tell the next by its first letters.
    private static func say(seconds: Double, seed: UInt64) -> [Spoken] {
        var random = SplitMix64(state: seed)
        let syllables = ["ka", "lo", "mi", "tu", "re", "sho", "ben", "vag", "zur", "pli"]
        var words: [Spoken] = []
        var end = 0
        while end < Int(seconds * 16_000) {
            let word = (0..<3).map { _ in syllables.randomElement(using: &random)! }.joined()
            let start = end
            end += Int.random(in: 4_000...8_800, using: &random)
            words.append(Spoken(word: word, range: start..<end))
        }
        return words
    }

    private static func hear(_ words: [Spoken], _ piece: Range<Int>) -> String {
        words.compactMap { spoken in
            let heard = spoken.range.clamped(to: piece)
            let share = Double(heard.count) / Double(spoken.range.count)
            guard share >= 1 / 3.0 else { return nil }
            if share > 0.8 { return spoken.word }
            let letters = Int((Double(spoken.word.count) * share).rounded())
            return String(
                heard.lowerBound == spoken.range.lowerBound ? spoken.word.prefix(letters) : spoken.word.suffix(letters))
        }.joined(separator: " ")
    }

    @Test(arguments: [5.0, 10, 28], 1...3)
    func noWordIsDoubledOrLostAtACut(longest: Double, seed: Int) {
        let words = Self.say(seconds: 90, seed: UInt64(seed))
        let length = Double(words[words.count - 1].range.upperBound) / 16_000
        let starts = words.map { Double($0.range.lowerBound) / 16_000 }
        let sound = Sounds.speech(seconds: length, seed: seed, hisses: false, syllables: starts)
        var segmenter = SpeechSegmenter(.init(maxPieceInSeconds: longest))
        let pieces = segmenter.append(sound) + segmenter.finish()
        #expect(pieces.contains { $0.overlap > 0 })
        var text = ""
        for piece in pieces {
            let heard = Self.hear(words, piece.range)
            let seam = Seam(text, heard)
            text = piece.overlap > 0 ? Seam.concatenate(seam.earlier, seam.later) : Seam.concatenate(text, heard)
        }
        let difference = text.split(separator: " ").map(String.init).difference(from: words.map(\.word))
        #expect(difference.isEmpty, "\(pieces.count) pieces")
    }
}
