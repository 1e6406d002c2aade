import Foundation
import Media
import TestSupport
import Testing

private func segment(_ samples: [Float], _ options: SpeechSegmenter.Options = .init(), block: Int = 16_384) -> (
    pieces: [SpeechPiece], skipped: Int
) {
    var segmenter = SpeechSegmenter(options)
    var pieces: [SpeechPiece] = []
    for start in stride(from: 0, to: samples.count, by: block) {
        pieces += segmenter.append(Array(samples[start..<min(samples.count, start + block)]))
    }
    pieces += segmenter.finish()
    return (pieces, segmenter.skippedSamples)
}

/// Pieces are ordered and equal to the recording in their ranges; together with skipped sound they cover it.
private func expectWhole(_ result: (pieces: [SpeechPiece], skipped: Int), _ samples: [Float], longest: Double) {
    var end = 0
    var gaps = 0
    for piece in result.pieces {
        #expect(piece.range.lowerBound == end - piece.overlap || (piece.overlap == 0 && piece.range.lowerBound >= end))
        #expect(piece.samples == Array(samples[piece.range]))
        #expect(piece.samples.count <= Int(longest * 16_000))
        #expect(piece.range.contains(piece.speech.lowerBound) && piece.speech.upperBound <= piece.range.upperBound)
        #expect((0...1).contains(piece.speechShare))
        gaps += max(0, piece.range.lowerBound - end)
        end = piece.range.upperBound
    }
    #expect(result.skipped == gaps + samples.count - end)
}

private func seconds(_ range: Range<Int>) -> (Double, Double) {
    (Double(range.lowerBound) / 16_000, Double(range.upperBound) / 16_000)
}

@Suite struct SpeechSegmenterTests {
    /// A recording of speech that fits into one piece stays whole.
    @Test(arguments: [0.5, 5, 27.9, 28])
    func speechThatFitsStaysWhole(length: Double) throws {
        let samples = Sounds.speech(seconds: length)
        let result = segment(samples)
        #expect(result.pieces.map(\.range) == [0..<samples.count] && result.skipped == 0)
        #expect(result.pieces[0].samples == samples && result.pieces[0].speechShare > 0.5)
        let stretches = result.pieces[0].stretches
        #expect(stretches.first?.lowerBound == result.pieces[0].speech.lowerBound)
        #expect(stretches.last?.upperBound == result.pieces[0].speech.upperBound)
    }

    /// Sound without speech is skipped, however short, unless detection is off.
    @Test(arguments: [0.005, 0.1, 0.5, 2, 28, 40])
    func whatIsNoSpeechIsLeftOut(length: Double) throws {
        let hum = Sounds.hum(seconds: length, level: -30)
        let sounds = [Sounds.silence(seconds: length), Sounds.noise(seconds: length, level: -30), hum]
        for samples in sounds + [Sounds.noise(seconds: length, fallingBy: 6, level: -20)] {
            let result = segment(samples)
            #expect(result.pieces.isEmpty && result.skipped == samples.count)
            var all = SpeechSegmenter.Options()
            all.detectsSpeech = false
            let heard = segment(samples, all)
            expectWhole(heard, samples, longest: 28)
            #expect(heard.skipped == 0 && heard.pieces.count == (length > 28 ? 2 : 1))
        }
        #expect(segment([]).pieces.isEmpty)
    }

    /// A film whose sound begins late: leading silence is skipped, even in a short recording.
    @Test func longSilenceIsLeftOutOfShortRecordings() {
        let samples = Sounds.silence(seconds: 5) + Sounds.speech(seconds: 4)
        let result = segment(samples)
        expectWhole(result, samples, longest: 28)
        #expect(result.pieces.count == 1 && abs(result.skipped - 75_200) < 1_600)
    }

    @Test func theTimesOfAShortRecordingAreThoseOfItsSpeech() {
        let samples = Sounds.mixed(
            Sounds.silence(seconds: 2) + Sounds.speech(seconds: 3) + Sounds.silence(seconds: 4),
            Sounds.noise(seconds: 9, level: -60))
        let (start, end) = seconds(segment(samples).pieces[0].speech)
        #expect(abs(start - 2) < 0.1 && abs(end - 5) < 0.1)
    }

    /// Utterances of 1 to 10 s with pauses of 1.2 to 9 s between them.
    @Test(arguments: [-90.0, -50], [1, 16_384, 1_000_000])
    func longPausesEndPieces(noise: Double, block: Int) throws {
        guard block > 1 || noise < -80 else { return }  // sample by sample once
        var samples = Sounds.silence(seconds: 4)
        var expected: [(start: Double, end: Double)] = []
        for (index, length) in [3.0, 1, 10, 5, 1.6, 7].enumerated() {
            expected.append((Double(samples.count) / 16_000, Double(samples.count) / 16_000 + length))
            samples +=
                Sounds.speech(seconds: length, seed: index) + Sounds.silence(seconds: [1.2, 9, 2, 4, 1.5, 3][index])
        }
        samples = Sounds.mixed(samples, Sounds.noise(seconds: Double(samples.count) / 16_000, level: noise))
        let result = segment(samples, block: block)
        expectWhole(result, samples, longest: 28)
        try #require(result.pieces.count == expected.count)
        for (piece, expected) in zip(result.pieces, expected) {
            let (start, end) = seconds(piece.speech)
            #expect(abs(start - expected.start) < 0.1 && abs(end - expected.end) < 0.1)
            #expect(piece.overlap == 0 && piece.speechShare > 0.5)
            // Margins keep word endings that are as faint as the noise.
            #expect(piece.speech.lowerBound - piece.range.lowerBound >= 3_200)
            #expect(piece.range.upperBound - piece.speech.upperBound >= 3_200)
        }
        #expect(Double(result.skipped) / 16_000 > 15)
    }

    /// Pauses of 0.4 s are too short to end a piece, but a piece at its limit is cut there.
    @Test func piecesThatAreTooLongAreCutInPauses() throws {
        var samples: [Float] = []
        var pauses: [Range<Int>] = []
        for index in 0..<12 {
            samples += Sounds.speech(seconds: 7, seed: index)
            pauses.append(samples.count..<samples.count + 6_400)
            samples += Sounds.silence(seconds: 0.4)
        }
        let result = segment(samples)
        expectWhole(result, samples, longest: 28)
        #expect(result.pieces.count == 4)
        for piece in result.pieces {
            #expect(piece.overlap == 0)
            #expect(
                pauses.contains { $0.lowerBound <= piece.range.upperBound && piece.range.upperBound <= $0.upperBound })
        }
    }

    /// Speech of 80 s without a pause that counts as one.
    @Test func whereSpeechRunsThroughPiecesOverlap() throws {
        let samples = Sounds.speech(seconds: 80, hisses: false)
        let result = segment(samples)
        expectWhole(result, samples, longest: 28)
        try #require(result.pieces.count >= 3)
        for (piece, next) in zip(result.pieces, result.pieces.dropFirst()) {
            #expect(
                piece.isCutInSpeech && next.overlap == 24_000
                    && next.range.lowerBound == piece.range.upperBound - 24_000)
            #expect(piece.samples.count > 23 * 16_000)
            #expect(abs(next.speech.lowerBound - piece.speech.upperBound) <= 160, "times meet at the cut")
        }
    }

    @Test func liveSoundComesInShortPieces() throws {
        var segmenter = SpeechSegmenter(.live)
        // Ten sentences of 2.5 s with 0.8 s between them, as they are spoken.
        let sentence = Sounds.speech(seconds: 2.5) + Sounds.silence(seconds: 0.8)
        var delays: [Double] = []
        var fed = 0
        for sentence in (0..<10).map({ _ in sentence }) {
            for start in stride(from: 0, to: sentence.count, by: 1_600) {
                let block = Array(sentence[start..<start + 1_600])
                fed += block.count
                for piece in segmenter.append(block) { delays.append(Double(fed - piece.speech.upperBound) / 16_000) }
            }
        }
        #expect(delays.count == 9 && segmenter.finish().count == 1)
        // The pause that ends a piece, plus the detector's look-ahead.
        #expect(delays.allSatisfy { $0 < 2 }, "\(delays)")
    }

    @Test func silenceForHoursIsSkipped() {
        var segmenter = SpeechSegmenter()
        let minute = Sounds.noise(seconds: 60, level: -45)
        for _ in 0..<60 { #expect(segmenter.append(minute).isEmpty) }
        #expect(segmenter.finish().isEmpty && segmenter.skippedSamples == 3_600 * 16_000)
    }
}
