import Foundation
import Media
import TestSupport
import Testing

/// Everything that comes, at 16 kHz.
private func readAll(_ bytes: [UInt8], _ format: PCMStream.Format, rate: Int = 16_000, cuts: [Int] = []) throws
    -> [Float]
{
    let pipe = Pipe()
    let sound = try PipedSound(PCMStream(pipe.fileHandleForReading.fileDescriptor, format: format, sampleRate: rate))
    Thread.detachNewThread {
        var start = 0
        for end in cuts + [bytes.count] {
            try? pipe.fileHandleForWriting.write(contentsOf: bytes[start..<end])
            start = end
        }
        try? pipe.fileHandleForWriting.close()
    }
    var samples: [Float] = []
    while let channels = try sound.readChannels() { samples += channels[0] }
    _ = try sound.readChannels() == nil
    withExtendedLifetime(pipe) {}
    return samples
}

@Suite struct PCMStreamTests {
    @Test func samplesAreScaledAsInFiles() throws {
        let bytes: [UInt8] = [0, 0, 0xff, 0x7f, 0, 0x80, 1, 0]
        #expect(try readAll(bytes, .s16le) == [0, 32_767 / 32_768, -1, 1 / 32_768])
        #expect(try readAll([0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf], .f32le) == [1, -0.5])
        #expect(try readAll([], .s16le).isEmpty)
    }

    /// A read from a pipe may end within a sample.
    @Test func samplesMayComeInPieces() throws {
        let bytes = (0..<9_999).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
        let samples = try readAll(bytes, .s16le, cuts: [1, 2, 777, 5_001])
        #expect(samples == (0..<9_999).map { Float($0) / 32_768 })
    }

    @Test func otherRatesAreResampled() throws {
        let tone = (0..<48_000).map { Float(0.5 * sin(2 * Double.pi * 440 * Double($0) / 48_000)) }
        let bytes = tone.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
        #expect(try readAll(bytes, .f32le, rate: 48_000) == AudioReader.convert(interleaved: tone, sampleRate: 48_000))
    }

    @Test func mistakesAreNamed() {
        #expect(throws: MediaError.self) { try readAll([0, 0, 0], .s16le) }
        #expect(throws: MediaError.self) { try readAll([0, 0, 0x80, 0x7f], .f32le) }
        #expect(throws: MediaError.self) { try PCMStream(0, format: .s16le, sampleRate: 10) }
    }
}

/// Two channels of another rate and different sound.
@Suite struct AudioChannelsTests {
    @Test func channelsCanBeKeptApart() throws {
        let left = (0..<8_000).map { Float(sin(Double($0) * 0.2) * 0.5) }
        let right = (0..<8_000).map { Float(sin(Double($0) * 0.05) * 0.25) }
        let file = Sounds.wave(zip(left, right).flatMap { [$0, $1] }, channels: 2, rate: 8_000)
        var reader = try AudioReader(file, channels: .split)
        var channels: [[Float]] = [[], []]
        while let block = try reader.readChannels() { for index in 0...1 { channels[index] += block[index] } }
        #expect(channels[0] == (try AudioReader.convert(interleaved: quantised(left), sampleRate: 8_000)))
        #expect(channels[1] == (try AudioReader.convert(interleaved: quantised(right), sampleRate: 8_000)))
        var mixed = try AudioReader(file)
        #expect(try mixed.readChannels()?.count == 1)
    }

    /// Phase inversion of one of two channels does not lead to silence.
    @Test func channelsThatCancelEachOtherAreHeard() throws {
        let left = (0..<32_000).map { Float(Int16(sin(Double($0) * 0.2) * 9_000)) / 32_768 }
        let turned = Sounds.wave(left.flatMap { [$0, -$0 * 0.98] }, channels: 2)
        var reader = try AudioReader(turned)
        #expect(try reader.readAll() == left)
        let quiet = Sounds.wave(left.flatMap { [$0, 0] }, channels: 2)
        var mixed = try AudioReader(quiet)
        #expect(try mixed.readAll() == left.map { $0 / 2 })
    }

    private func quantised(_ samples: [Float]) -> [Float] { samples.map { Float(Int16($0 * 32_768)) / 32_768 } }
}
