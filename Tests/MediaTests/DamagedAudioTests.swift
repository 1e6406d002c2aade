import Foundation
import TestSupport
import Testing

@testable import Media

/// The result of reading a file: samples, known losses, and the final error.
private struct Reading {
    var samples: [Float] = []
    var lost: [Range<Double>] = []
    var notices: [MediaNotice] = []
    var error: MediaError?

    init(_ bytes: Data) {
        do throws(MediaError) {
            let source = try SoundSources.open(bytes, name: "a", channels: .mix)
            defer { (lost, notices) = (source.lost, source.notices) }
            while let block = try source.readChannels() { samples += block[0] }
        } catch {
            self.error = error
        }
    }

    var seconds: Double { Double(samples.count) / 16_000 }
    var lostSeconds: Double { lost.reduce(0) { $0 + $1.upperBound - $1.lowerBound } }
}

private func sentence(_ seconds: Double, seed: Int = 0) -> [Float] { Sounds.speech(seconds: seconds, seed: seed) }

/// Correlation of the last `seconds` of two sounds: 1 if they are equal and aligned.
private func agreement(_ a: [Float], _ b: [Float], last seconds: Double) -> Double {
    let count = Int(seconds * 16_000)
    let (a, b) = (a.suffix(count), b.suffix(count))
    guard a.count == count, b.count == count else { return 0 }
    func dot(_ x: ArraySlice<Float>, _ y: ArraySlice<Float>) -> Double {
        zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    return dot(a, b) / max(1e-12, (dot(a, a) * dot(b, b)).squareRoot())
}

/// The maximum correlation over shifts of up to 0.1 s: after damage an encoder's delay of 0.07 s is not compensated.
private func agreementAtEnd(_ damaged: [Float], _ whole: [Float]) -> Double {
    let count = min(damaged.count, whole.count)
    let (end, same) = (Array(damaged.prefix(count)), Array(whole.prefix(count)))
    return (-1_600...1_600).map { shift in
        agreement(Array(end.dropLast(max(0, shift))), Array(same.dropLast(max(0, -shift))), last: 0.2)
    }.max() ?? 0
}

private let stray = Data((0..<3_000).map { UInt8(truncatingIfNeeded: $0 * 37) })

extension Data {
    fileprivate func with(_ value: UInt32, at place: Int, isBig: Bool = false) -> Data {
        var copy = self
        let bytes = Array(little(value))
        copy.replaceSubrange(place..<place + 4, with: isBig ? bytes.reversed() : bytes)
        return copy
    }

    fileprivate func inserting(_ bytes: Data, at place: Int) -> Data { prefix(place) + bytes + dropFirst(place) }

    fileprivate func first(of text: String) -> Int { range(of: Data(text.utf8))!.lowerBound }
}

/// Headers that announce less than the file holds.
@Suite struct HeaderTests {
    static let samples = sentence(2)

    /// A crashed recorder, one interrupted after a second, and a 32-bit length that wrapped around.
    @Test(arguments: [0, 32_000] as [UInt32])
    func aHeaderThatAnnouncesTooLittleIsNotBelieved(announced: UInt32) throws {
        let whole = try Reading(EncodedSound.wav.file(Self.samples))
        for (format, place, isBig, extra) in [
            (EncodedSound.wav, "data", false, 0), (.aiff, "SSND", true, 8), (.au, ".snd", true, 0),
        ] {
            let file = try format.file(Self.samples)
            let size = file.first(of: place) + (format == .au ? 8 : 4)
            var bytes = file.with(announced + UInt32(extra), at: size, isBig: isBig)
            if format == .aiff { bytes = bytes.with(announced / 2, at: file.first(of: "COMM") + 10, isBig: true) }
            let reading = Reading(bytes)
            #expect(reading.samples == whole.samples && reading.error == nil, "\(format)")
            #expect(
                reading.notices.map(\.text) == [
                    "the header announces \(announced) bytes of sound, and 64000 are there: all are heard"
                ])
        }
    }

    /// `mpg123 -w -` and ffmpeg leave lengths at 0, or at nearly 2³¹ and 2³², on purpose; sox at 0x7F000000.
    @Test(arguments: [0x7F00_0024, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_F000] as [UInt32])
    func streamsAreReadToTheEnd(announced: UInt32) throws {
        let file = try EncodedSound.wav.file(Self.samples)
        let reading = Reading(file.with(announced, at: file.first(of: "data") + 4))
        #expect(reading.seconds == 2 && reading.error == nil && reading.notices.isEmpty)
        let aiff = try EncodedSound.aiff.file(Self.samples)
        #expect(Reading(aiff.with(0x7F00_0008, at: aiff.first(of: "SSND") + 4, isBig: true)).error == nil)
    }

    /// Chunks, tags and padding after the sound are not decoded.
    @Test(arguments: ["LIST", "id3 ", "bext"])
    func whatFollowsTheSoundIsNotHeard(chunk: String) throws {
        let file = wavFile(Sounds.pcm(Self.samples))
        let list = Data(chunk.utf8) + Data(little(UInt32(2_000))) + Data(repeating: 7, count: 2_000)
        for tail in [list, Data("TAG".utf8) + Data(repeating: 0x20, count: 2_000), Data(repeating: 0xAA, count: 500)] {
            let reading = Reading(file + tail)
            #expect(reading.seconds == 2 && reading.error == nil && reading.notices.isEmpty)
        }
    }

    /// A recording of 4 GiB and 2 s in a sparse file: its length has wrapped around.
    @Test func aLengthBeyondFourGigabytesIsFound() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/long.wav"
        let count = 1 << 32 + 64_000
        try wavFile([], rate: 768_000, announcedBytes: UInt32(truncatingIfNeeded: count)).write(to: URL(filePath: path))
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.truncate(atOffset: UInt64(44 + count))
        try handle.close()
        let reader = try AudioReader(URL(filePath: path))
        #expect(reader.announcedDurationInSeconds == Double(count / 2) / 768_000 && reader.notices.count == 1)
    }
}

/// Truncated files.
@Suite struct CutTests {
    static let samples = sentence(4)
    /// Pages of Vorbis hold a second or more.
    static let shares = [0.45, 0.6, 0.9]

    /// The sound present is decoded, and the missing duration is reported.
    @Test(arguments: [EncodedSound.wav, .aiff, .au, .flac, .vorbis, .opus, .mp3], shares)
    func whatIsMissingIsSaid(format: EncodedSound, share: Double) throws {
        let file = try format.file(Self.samples)
        let whole = Reading(file)
        #expect(whole.error == nil && whole.lost.isEmpty && abs(whole.seconds - 4) < 0.1)
        let cut = Reading(file.prefix(Int(Double(file.count) * share)))
        #expect(cut.error?.code == .truncated && cut.seconds < whole.seconds)
        #expect(cut.samples.prefix(8_000).elementsEqual(whole.samples.prefix(8_000)))
        // Ogg announces no more than the page that is cut.
        let isOgg = format == .vorbis || format == .opus
        #expect(isOgg || abs(cut.seconds + cut.lostSeconds - 4) < 0.15, "\(cut.seconds) and \(cut.lostSeconds)")
        #expect(isOgg || cut.lost.count == 1 && abs(cut.lost[0].lowerBound - cut.seconds) < 0.01)
        #expect(cut.error?.description.hasSuffix("; copy or download it again.") == true)
    }

    @Test func theLossIsInTheMessage() throws {
        let file = try EncodedSound.wav.file(Self.samples)
        #expect(
            Reading(file.prefix(44 + 32_000)).error?.description
                == "a: expected a whole recording, found 1.00 of 4.00 s of sound; copy or download it again.")
    }
}

/// Concatenated recordings, and damage between them.
@Suite struct JoinedTests {
    @Test(arguments: [EncodedSound.mp3, .vorbis, .opus])
    func joinedRecordingsAreHeardToTheLast(format: EncodedSound) throws {
        let files = try [2.0, 1, 3].enumerated().map { try format.file(sentence($0.element, seed: $0.offset)) }
        let parts = files.map { Reading($0).samples }
        let joined = Reading(files.reduce(Data(), +))
        #expect(joined.error == nil && joined.lost.isEmpty && joined.notices.isEmpty)
        #expect(joined.samples == Array(parts.joined()))
    }

    /// A stream recorded from its middle begins within a frame.
    @Test func aStreamMayBeginWithinAFrame() throws {
        let file = try EncodedSound.mp3.file(sentence(4))
        let rest = Reading(Data(file.dropFirst(file.count / 2 + 100)))
        #expect(rest.error == nil && rest.lost.isEmpty && abs(rest.seconds - 2) < 0.4)
    }

    /// Another rate and number of channels, and tags between.
    @Test func joinedRecordingsMayDiffer() throws {
        let first = try EncodedSound.mp3.file(sentence(2))
        let second = try EncodedSound.mp3.file(sentence(2, seed: 2), channels: 2, rate: 44_100)
        let tag = Data("TAG".utf8) + Data(repeating: 0x41, count: 125)
        let tag2 = Data("ID3".utf8) + Data([4, 0, 0x10, 0, 0, 1, 0]) + Data(repeating: 0xFF, count: 128 + 10)
        let joined = Reading(Data(repeating: 0, count: 5_000) + first + tag + tag2 + second)
        #expect(joined.error == nil && joined.lost.isEmpty)
        let seconds = 2 + Double(sentence(2).count / 2) / 44_100
        #expect(abs(joined.seconds - seconds) < 0.01)
        #expect(agreement(joined.samples, Reading(second).samples, last: 0.3) > 0.999)
    }

    /// Foreign bytes: the sound after them is decoded at its time, and the loss is reported at its place.
    @Test(arguments: [EncodedSound.mp3, .vorbis, .opus, .flac], [true, false])
    func whatFollowsDamageIsHeard(format: EncodedSound, replaces: Bool) throws {
        let file = try format.file(sentence(8))
        let whole = Reading(file)
        let middle = file.count / 2
        let bytes =
            replaces ? file.prefix(middle) + stray + file.dropFirst(middle + 3_000) : file.inserting(stray, at: middle)
        let damaged = Reading(Data(bytes))
        #expect(damaged.error?.code == .malformed && damaged.error?.found.contains(" s that do") == true)
        #expect(damaged.lost.allSatisfy { $0.lowerBound > 2.5 && $0.upperBound < 7 } && damaged.lostSeconds > 0.02)
        // After damage an encoder's delay is not compensated.
        #expect(abs(damaged.seconds - 8) < 0.1)
        #expect(damaged.samples.prefix(32_000).elementsEqual(whole.samples.prefix(32_000)))
        let best = agreementAtEnd(damaged.samples, whole.samples)
        #expect(best > 0.99, "\(best)")
        if format == .flac { #expect(damaged.samples.suffix(16_000).elementsEqual(whole.samples.suffix(16_000))) }
    }

    /// MP3 frames with intact headers and damaged bodies are reported as lost; the sound after them is at its time.
    @Test(arguments: [(channels: 1, rate: 16_000), (channels: 2, rate: 44_100)], [1.0 / 3, 2.0 / 3])
    func framesWithoutABodyAreLost(encoding: (channels: Int, rate: Int), from share: Double) throws {
        let sound = sentence(12).flatMap { [Float](repeating: $0, count: encoding.channels) }
        let file = try EncodedSound.mp3.file(sound, channels: encoding.channels, rate: encoding.rate)
        let whole = Reading(file)
        #expect(whole.error == nil && whole.lost.isEmpty)
        var frames: [Range<Int>] = []
        var place = 0
        while place + 4 <= file.count {
            guard let header = MPEGFrameHeader(file[place], file[place + 1], file[place + 2], file[place + 3]) else {
                place += 1
                continue
            }
            frames.append(place..<place + header.length)
            place += header.length
        }
        var bytes = file
        var random: UInt64 = 1
        for frame in frames[Int(Double(frames.count) * share)...].prefix(frames.count / 3) {
            for place in frame.dropFirst(4) where place < bytes.count {
                random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[place] = UInt8(truncatingIfNeeded: random >> 56)
            }
        }
        let damaged = Reading(bytes)
        let start = whole.seconds * share
        #expect(damaged.lost.count == 1 && damaged.lost.allSatisfy { abs($0.lowerBound - start) < 0.3 })
        #expect(abs(damaged.lostSeconds - whole.seconds / 3) < 0.3, "\(damaged.lost) of \(whole.seconds)")
        if share < 0.5 {
            #expect(damaged.error?.code == .malformed && abs(damaged.seconds - whole.seconds) < 0.1)
            let best = agreementAtEnd(damaged.samples, whole.samples)
            #expect(best > 0.99, "\(best)")
            let silence = damaged.samples[Int((start + 0.4) * 16_000)..<Int((start + whole.seconds / 3 - 0.1) * 16_000)]
            #expect(silence.allSatisfy { abs($0) < 1e-3 })
        } else {
            #expect(damaged.error?.code == .truncated && abs(damaged.seconds - start) < 0.3)
        }
    }

    /// A broken page, a page that is not there, and damage in several places.
    @Test(arguments: [EncodedSound.vorbis, .opus, .flac])
    func damageIsCountedPlaceByPlace(format: EncodedSound) throws {
        let file = try format.file(sentence(12))
        let whole = Reading(file)
        var bytes = file
        for share in [0.3, 0.7] { bytes[Int(Double(file.count) * share)] ^= 0x55 }
        let damaged = Reading(bytes)
        #expect(damaged.error?.code == .malformed && damaged.lost.count == 2)
        #expect(abs(damaged.seconds - whole.seconds) < 0.01)
        #expect(damaged.error?.found.contains("in 2 places") == true)
    }
}
