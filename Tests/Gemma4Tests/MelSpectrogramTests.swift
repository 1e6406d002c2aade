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
        // Measured: 4.8e-7, one unit in the last place of ln 0.001 = -6.9; the reference transforms in 32-bit.
        #expect(worst <= 1e-6)
    }

    /// 25 soft tokens per second, 40 ms each; ceil(duration / 40 ms) is another number for some lengths.
    @Test(arguments: [
        (0, 0, 0), (160, 0, 0), (161, 1, 1), (320, 1, 1), (321, 2, 1), (8_000, 49, 13), (16_000, 99, 25),
        (54_464, 340, 85), (480_000, 2_999, 750),
    ])
    func countsFollowTheLength(samples: Int, frames: Int, softTokens: Int) throws {
        let mel = try MelSpectrogram(.init())
        #expect(mel.frameCount(samples: samples) == frames)
        #expect(mel.softTokenCount(samples: samples) == softTokens)
    }

    /// The transform against the sum that defines it.  |error| <= log2(n) * ulp * sum|x|, with room for the sum's own.
    @Test(arguments: [4, 8, 64, 512])
    func transformEqualsItsDefinition(size: Int) {
        let input = MediaGoldens.noise(size, seed: 9).map { Double($0) / 128 - 1 }
        let magnitudes = RealFourierTransform(size: size).magnitudes(of: input)
        #expect(magnitudes.count == size / 2 + 1)
        let tolerance = 32 * Double.ulpOfOne * input.map(abs).reduce(0, +)
        for (k, magnitude) in magnitudes.enumerated() {
            let angles = input.indices.map { 2 * Double.pi * Double(k * $0 % size) / Double(size) }
            let real = zip(input, angles).map { $0 * cos($1) }.reduce(0, +)
            let imaginary = zip(input, angles).map { $0 * sin($1) }.reduce(0, +)
            #expect(abs(magnitude - hypot(real, imaginary)) <= tolerance, "bin \(k)")
        }
    }

    @Test func lengthsOutsideTheModelAreRefused() throws {
        let mel = try MelSpectrogram(.init())
        let short = try #require(throws: MelSpectrogramError.self) { try mel([Float](repeating: 0, count: 160)) }
        #expect(
            short.description
                == "audio features: expected 161 to 480000 samples (30 s), found 160; give a longer recording.")
        let long = try #require(throws: MelSpectrogramError.self) { try mel([Float](repeating: 0, count: 480_001)) }
        #expect(long.description.hasSuffix("found 480001; split the recording at pauses."))
    }

    private static func changed(_ change: (inout MelSpectrogram.Configuration) -> Void) -> MelSpectrogram.Configuration
    {
        var configuration = MelSpectrogram.Configuration()
        change(&configuration)
        return configuration
    }

    /// Unsupported options are refused, not ignored.
    @Test(
        arguments: [
            ("sampling_rate 16000, found 24000", changed { $0.samplingRate = 24_000 }),
            ("fft_length a power of two within 4...65536, found 400", changed { $0.fftLength = 400 }),
            ("frame_length within 2...fft_length, found 1024", changed { $0.frameLength = 1_024 }),
            ("hop_length within 1...frame_length, found 0", changed { $0.hopLength = 0 }),
            ("feature_size within 1...1024, found 0", changed { $0.featureSize = 0 }),
            ("0 <= min_frequency < max_frequency <= 8000, found 0.0 and 9000.0", changed { $0.maxFrequency = 9_000 }),
            ("mel_floor above 0, found 0.0", changed { $0.melFloor = 0 }),
            ("preemphasis 0, found 0.97", changed { $0.preemphasis = 0.97 }),
            ("dither 0, found 0.1", changed { $0.dither = 0.1 }),
            ("input_scale_factor 1, found 2.0", changed { $0.inputScaleFactor = 2 }),
        ])
    func otherFrontEndsAreRefused(says: String, configuration: MelSpectrogram.Configuration) throws {
        let error = try #require(throws: MelSpectrogramError.self) { try MelSpectrogram(configuration) }
        #expect(
            error.description
                == "audio features: expected \(says); use the processor_config.json published with the model.")
    }
}
