import Foundation
import TestSupport
import Testing

@testable import Gemma4

private struct Golden: Decodable, Sendable {
    let kind: String
    let samples, frames: Int

    /// As the generator's `waveform`.
    func waveform() throws -> [Float] {
        switch kind {
        case "noise": MediaGoldens.noise(samples, seed: 3).map { (Float($0) - 128) / 128 }
        case "triangle": (0..<samples).map { Float(min($0 % 100, 100 - $0 % 100) - 25) / 32 }
        case "silence": [Float](repeating: 0, count: samples)
        default:
            // 16-bit samples after the 44 bytes of a plain header.
            try Data(contentsOf: MediaGoldens.folder.appending(path: "speech.wav")).withUnsafeBytes { bytes in
                (0..<samples).map {
                    Float(bytes.loadUnaligned(fromByteOffset: 44 + 2 * $0, as: Int16.self)) / 32768
                }
            }
        }
    }
}

private let goldens: [Golden] = (try? MediaGoldens.load("mel")) ?? []

@Suite struct MelSpectrogramTests {
    @Test func equalsTransformers() throws {
        let mel = try MelSpectrogram(.init())
        let values = try Data(contentsOf: MediaGoldens.folder.appending(path: "mel.f32"))
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        var start = 0
        var worst: Float = 0
        for golden in goldens {
            #expect(mel.frameCount(samples: golden.samples) == golden.frames, "\(golden.samples) samples")
            let features = try mel(golden.waveform())
            try #require(features.count == golden.frames * 128)
            worst = zip(features, values[start...]).reduce(worst) { max($0, abs($1.0 - $1.1)) }
            start += features.count
        }
        #expect(start == values.count && goldens.count == 14)
        #expect(worst <= 1e-6)
    }
}
