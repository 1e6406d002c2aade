import Foundation

/// Made-up sounds at 16 kHz, the same on every machine.
package enum Sounds {
    package static let rate = 16_000

    /// White noise filtered to fall by about `slope` dB per octave; at `level` dBFS.
    package static func noise(seconds: Double, fallingBy slope: Double = 0, level: Double, seed: UInt64 = 1) -> [Float]
    {
        var random = seed
        func white() -> Double {
            // The sum of twelve uniform variates is approximately normal.
            (0..<12).reduce(-6.0) { sum, _ in
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return sum + Double(random >> 11) / Double(1 << 53)
            }
        }
        // A sum of one-pole low-passes an octave apart approximates any slope between 0 and 6 dB.
        let poles = (0..<9).map { 20 * pow(2, Double($0)) }
        var states = [Double](repeating: 0, count: poles.count)
        let samples = (0..<Int(seconds * Double(rate))).map { _ -> Double in
            let input = white()
            guard slope > 0 else { return input }
            return poles.indices.reduce(0.0) { sum, index in
                let decay = exp(-2 * .pi * poles[index] / Double(rate))
                states[index] = decay * states[index] + (1 - decay) * input
                return sum + states[index] * pow(2, Double(index) * (1 - slope / 6))
            }
        }
        return scaled(samples, to: level)
    }

    /// A mains hum with ten overtones.
    package static func hum(seconds: Double, frequency: Double = 50, level: Double) -> [Float] {
        scaled(
            (0..<Int(seconds * Double(rate))).map { index in
                (1...11).reduce(0.0) { sum, overtone in
                    let phase = 2 * Double.pi * frequency * Double(overtone * index) / Double(rate)
                    return sum + sin(phase + Double(overtone)) / Double(overtone)
                }
            }, to: level)
    }

    package static func silence(seconds: Double) -> [Float] {
        [Float](repeating: 0, count: Int(seconds * Double(rate)))
    }

    /// Synthetic speech: a row of syllables with dips between them, each a voiced sound with its own formants or, if
    /// `hisses`, every fourth a hiss; at `level` dBFS.
    ///
    /// - Parameter syllables: where each begins, in seconds; by default one every 0.2 s.
    package static func speech(
        seconds: Double, level: Double = -20, seed: Int = 0, hisses: Bool = true, syllables: [Double]? = nil
    ) -> [Float] {
        let hiss = noise(seconds: seconds, level: 0, seed: UInt64(seed + 7))
        let starts = (syllables ?? stride(from: 0, to: seconds, by: 0.2).map { $0 }) + [seconds]
        var syllable = 0
        let samples = (0..<Int(seconds * Double(rate))).map { index -> Double in
            let time = Double(index) / Double(rate)
            while syllable + 2 < starts.count, time >= starts[syllable + 1] { syllable += 1 }
            let within = (time - starts[syllable]) / (starts[syllable + 1] - starts[syllable])
            let envelope = pow(max(0, sin(.pi * within)), 0.7)
            let kind = syllable + seed
            if hisses, kind % 4 == 3 { return envelope * 0.2 * Double(hiss[index]) }
            let pitch = 110 + 20 * sin(time * 3)
            let formants = [[700.0, 1_200], [300, 2_300], [500, 900]][kind % 3]
            return envelope
                * (1...24).reduce(0.0) { sum, overtone in
                    let frequency = pitch * Double(overtone)
                    let gain = formants.reduce(0.02) { $0 + exp(-pow((frequency - $1) / 150, 2)) }
                    return sum + gain * sin(2 * .pi * frequency * time)
                }
        }
        return scaled(samples, to: level)
    }

    /// Adds what lasts at least as long.
    package static func mixed(_ a: [Float], _ b: [Float]) -> [Float] { zip(a, b).map { $0 + $1 } }

    private static func scaled(_ samples: [Double], to level: Double) -> [Float] {
        let power = samples.reduce(0) { $0 + $1 * $1 } / Double(max(1, samples.count))
        let gain = pow(10, level / 20) / max(power.squareRoot(), 1e-12)
        return samples.map { Float($0 * gain) }
    }

    /// A WAV file of 16-bit samples, channels one after the other in each frame.
    package static func wave(_ interleaved: [Float], channels: Int = 1, rate: Int = rate) -> Data {
        func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
        let data = pcm(interleaved)
        let format =
            bytes(UInt16(1)) + bytes(UInt16(channels)) + bytes(UInt32(rate)) + bytes(UInt32(rate * channels * 2))
        let chunk =
            Array("WAVEfmt ".utf8) + bytes(UInt32(16)) + format + bytes(UInt16(channels * 2)) + bytes(UInt16(16))
        let body = chunk + Array("data".utf8) + bytes(UInt32(data.count)) + data
        return Data(Array("RIFF".utf8) + bytes(UInt32(body.count)) + body)
    }

    /// Samples as 16-bit integers, little-endian.
    package static func pcm(_ samples: [Float]) -> [UInt8] {
        samples.flatMap { sample in
            let value = Int16(max(-32_768, min(32_767, sample * 32_768)))
            return [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
        }
    }
}
