import Foundation
import Media
import TestSupport
import Testing

private struct Recording: Decodable {
    let rate, channels, frames, samples: Int
    let values: [[Double]]
}

private let recordings: [String: Recording] = (try? MediaGoldens.load("recordings")) ?? [:]

private func golden(_ name: String) -> URL { MediaGoldens.folder.appending(path: "recordings/\(name)") }

/// Amplitude 0.5, phase 0.
private func sine(_ frequency: Double, rate: Int, count: Int) -> [Float] {
    (0..<count).map { Float(0.5 * sin(2 * Double.pi * frequency * Double($0) / Double(rate))) }
}

@Suite struct AudioReaderTests {
    @Test func allFormatsAreThere() {
        #expect(recordings.count == 14)
    }

    /// Against soundfile and soxr, for every format, sample rate and channel count.
    ///
    /// Measured: 6e-8 for MP3 and Vorbis, 0 for the rest, between libsndfile 1.2.0 and 1.2.2.  The tolerance leaves
    /// room for decoders built for other CPUs; full scale is 0.4, so a wrong rate, offset or mean is off by 1e-2.
    @Test(arguments: recordings.keys.sorted())
    func equalsReference(name: String) throws {
        let expected = try #require(recordings[name])
        var reader = try AudioReader(golden(name))
        #expect(reader.sourceSampleRate == expected.rate && reader.sourceChannels == expected.channels)
        #expect(reader.announcedDurationInSeconds == Double(expected.frames) / Double(expected.rate))
        let samples = try reader.readAll()
        try #require(samples.count == expected.samples)
        for value in expected.values {
            #expect(abs(Double(samples[Int(value[0])]) - value[1]) < 1e-5, "at \(value[0])")
        }
    }

    @Test func bytesReadAsFilesDo() throws {
        let file = golden("44100-stereo.flac")
        var fromFile = try AudioReader(file)
        var fromBytes = try AudioReader(Data(contentsOf: file))
        #expect(try fromFile.readAll() == fromBytes.readAll())
    }

    /// 16-bit samples at 16 kHz pass through as n / 32768, exactly.
    @Test func nothingIsDoneToSamplesAtTheRightRate() throws {
        let stored: [Int16] = [0, 1, -1, 32767, -32768, 1234, -4321]
        let wav = wavFile(stored.flatMap { little($0) })
        var reader = try AudioReader(wav)
        #expect(try reader.readAll() == stored.map { Float($0) / 32768 })
    }

    @Test func channelsAreAveraged() throws {
        let mono = try AudioReader.convert(
            interleaved: [0.5, -0.25, 0.25, 1, 1, -1, 0, 0, 0.75], sampleRate: 16_000, channels: 3)
        #expect(mono == [Float(0.5) / 3, Float(1) / 3, Float(0.75) / 3])
    }

    /// Resampling keeps a sine: the residual after subtracting the exact sine is at least 90 dB below it.
    /// Measured: 127 dB or more; soxr's HQ promises 20 bits, 120 dB.
    @Test(arguments: [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000], [440.0, 3_300.0])
    func resamplingKeepsTones(rate: Int, frequency: Double) throws {
        let samples = try AudioReader.convert(interleaved: sine(frequency, rate: rate, count: rate), sampleRate: rate)
        #expect(samples.count == 16_000)
        let exact = sine(frequency, rate: 16_000, count: 16_000)
        let middle = 2_000..<14_000  // the tone starts and ends abruptly, which is not band-limited
        let noise = middle.map { Double(samples[$0] - exact[$0]) }.map { $0 * $0 }.reduce(0, +)
        let signal = middle.map { Double(exact[$0]) }.map { $0 * $0 }.reduce(0, +)
        #expect(10 * log10(signal / noise) > 90)
    }

    /// Frequencies above 8 kHz are removed instead of aliased.
    @Test func resamplingRemovesWhatWouldAlias() throws {
        let samples = try AudioReader.convert(
            interleaved: sine(10_000, rate: 44_100, count: 44_100), sampleRate: 44_100)
        let loudest = samples[2_000..<14_000].map { abs($0) }.max() ?? 1
        #expect(loudest < 0.5e-5)  // 100 dB below; measured: 1.1e-7
    }

    /// Long recordings are read in chunks: their concatenation equals reading at once, and each is small.
    @Test(arguments: [16_000, 8_000, 44_100])
    func blocksJoinToTheWhole(rate: Int) throws {
        let stored = MediaGoldens.noise(2 * 10 * rate, seed: 5)
        var blocks: [[Float]] = []
        var reader = try AudioReader(wavFile(stored, rate: rate))
        while let block = try reader.readBlock() { blocks.append(block) }
        let whole = stride(from: 0, to: stored.count, by: 2).map {
            Float(Int16(truncatingIfNeeded: Int(stored[$0]) | Int(stored[$0 + 1]) << 8)) / 32768
        }
        #expect(try Array(blocks.joined()) == AudioReader.convert(interleaved: whole, sampleRate: rate))
        #expect(blocks.count > 2 && blocks.allSatisfy { $0.count <= 65_536 })
        let (after, again) = (try reader.readBlock(), try reader.readAll())
        #expect(after == nil && again.isEmpty)
    }

    /// A stream's header announces all it can.
    @Test(arguments: [0x7FFF_FFFF, 0xFFFF_FFFF] as [UInt32])
    func readsAStreamWhoseLengthIsLeftOpen(announcedBytes: UInt32) throws {
        var reader = try AudioReader(wavFile(MediaGoldens.noise(2_000, seed: 1), announcedBytes: announcedBytes))
        #expect(try reader.readAll().count == 1_000)
    }
}

func little(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

/// A plain WAV file; every header field can be wrong.
func wavFile(
    _ data: [UInt8], format: UInt16 = 1, channels: UInt16 = 1, rate: Int = 16_000, bits: UInt16 = 16,
    announcedBytes: UInt32? = nil
) -> Data {
    let frame = channels &* (bits / 8)
    let head =
        Array("RIFF".utf8) + little(announcedBytes.map { $0 &+ 36 } ?? UInt32(36 + data.count)) + Array("WAVEfmt ".utf8)
    let fields = little(UInt32(16)) + little(format) + little(channels) + little(UInt32(rate))
    let rates = little(UInt32(truncatingIfNeeded: rate * Int(frame))) + little(frame) + little(bits)
    return Data(head + fields + rates + Array("data".utf8) + little(announcedBytes ?? UInt32(data.count)) + data)
}
