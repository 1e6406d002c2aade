import Foundation
import Media
import TestSupport
import Testing

/// Speech decisions per frame, for samples appended in chunks of `block`.
private func detect(_ samples: [Float], block: Int = 4_000) -> [Bool] {
    var detector = VoiceActivityDetector()
    var frames: [Bool] = []
    for start in stride(from: 0, to: samples.count, by: block) {
        frames += detector.append(Array(samples[start..<min(samples.count, start + block)]))
    }
    return frames + detector.finish()
}

private func share(_ frames: some Collection<Bool>) -> Double {
    Double(frames.count { $0 }) / Double(max(1, frames.count))
}

@Suite struct VoiceActivityTests {
    @Test(arguments: [-80.0, -60, -40, -20, -10], [0.0, 3, 6])
    func steadyNoiseIsNoSpeech(level: Double, slope: Double) {
        let frames = detect(Sounds.noise(seconds: 15, fallingBy: slope, level: level))
        #expect(frames.count == 1_500)
        #expect(frames.allSatisfy { !$0 })
    }

    @Test(arguments: [-60.0, -40, -20, -6], [50.0, 60])
    func humIsNoSpeech(level: Double, frequency: Double) {
        let hum = Sounds.hum(seconds: 15, frequency: frequency, level: level)
        #expect(detect(hum).allSatisfy { !$0 })
        #expect(detect(Sounds.mixed(hum, Sounds.noise(seconds: 15, level: level - 20))).allSatisfy { !$0 })
    }

    @Test func silenceIsNoSpeechAndNothingIsNothing() {
        #expect(detect(Sounds.silence(seconds: 5)).allSatisfy { !$0 })
        #expect(detect([]).isEmpty)
        #expect(detect([Float](repeating: 0.5, count: 159)).isEmpty, "no whole frame")
        #expect(
            detect([Float](repeating: 0.25, count: 80_000)).count { $0 } <= 10,
            "an offset is no sound, but its beginning is")
    }

    /// Drop-outs of digital silence in noise must neither be speech nor make the noise between them speech.
    @Test func gapsOfDigitalSilenceAreNoSpeech() {
        var noise = Sounds.noise(seconds: 20, level: -40)
        for start in stride(from: 16_000, to: 300_000, by: 30_000) {
            for index in start..<start + 8_000 { noise[index] = 0 }
        }
        #expect(share(detect(noise)) < 0.02)
    }

    @Test func aClickIsNoSpeech() {
        var noise = Sounds.noise(seconds: 10, level: -50)
        for second in 1...8 {
            for index in 0..<160 { noise[second * 16_000 + index] += index.isMultiple(of: 2) ? 0.5 : -0.5 }
        }
        #expect(detect(noise).allSatisfy { !$0 })
    }

    /// 3 s of speech between 3 s of noise on either side: its bounds are found within 0.1 s, and all of it from 10 dB
    /// on. At 0 dB and 5 dB half of the frames suffice, because pauses are bridged and pieces have margins.
    @Test(arguments: [(40.0, 0.0), (20, 0), (20, 3), (10, 0), (10, 6), (5, 3), (0, 0)])
    func speechIsFoundInNoise(ratio: Double, slope: Double) throws {
        let speech = Sounds.silence(seconds: 3) + Sounds.speech(seconds: 3) + Sounds.silence(seconds: 3)
        let frames = detect(Sounds.mixed(speech, Sounds.noise(seconds: 9, fallingBy: slope, level: -20 - ratio)))
        let first = try #require(frames.firstIndex(of: true))
        let last = try #require(frames.lastIndex(of: true))
        #expect(abs(first - 300) <= 10 && abs(last - 599) <= 10, "\(first) to \(last)")
        #expect(share(frames[first...last]) >= (ratio >= 10 ? 0.8 : 0.5))
    }

    /// Recordings may begin and end with a word, without any noise to compare it with.
    @Test func speechWithoutSilenceAroundIsFound() {
        for samples in [Sounds.speech(seconds: 0.5), Sounds.speech(seconds: 12, seed: 3)] {
            let frames = detect(samples)
            #expect(share(frames) > 0.6)
            #expect(frames.prefix(15).contains(true) && frames.suffix(15).contains(true))
        }
    }

    @Test(arguments: [1, 159, 160, 1_000, 100_000, 1_000_000])
    func blocksOfAnySizeGiveTheSame(block: Int) {
        // Longer than the detector remembers, louder towards the end.
        let speech = (1...5).flatMap {
            Sounds.silence(seconds: 2) + Sounds.speech(seconds: 4, level: -40 + 5 * Double($0), seed: $0)
        }
        let samples = Sounds.mixed(speech, Sounds.noise(seconds: 30, level: -50))
        #expect(detect(samples, block: block) == detect(samples))
    }
}
