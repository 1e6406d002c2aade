import Foundation
import TestSupport
import Testing

@testable import Media

private let hasFFmpeg =
    (try? ExternalProgram("ffmpeg", for: "")) != nil && (try? ExternalProgram("ffprobe", for: "")) != nil

/// Runs ffmpeg on files of a folder.
private func ffmpeg(_ arguments: String..., in directory: TemporaryDirectory) throws {
    let words = arguments.map { $0.hasPrefix("@") ? "\(directory.path)/\($0.dropFirst())" : $0 }
    let run = try ExternalProgram("ffmpeg", for: "test").start(["-v", "error", "-y"] + words, source: "test")
    _ = try run.readExactly(1)
}

private func read(_ source: any SoundSource) -> (channels: [[Float]], error: MediaError?) {
    var channels: [[Float]] = []
    do throws(MediaError) {
        while let block = try source.readChannels() {
            channels = channels.isEmpty ? block : zip(channels, block).map { $0 + $1 }
        }
    } catch {
        return (channels, error)
    }
    return (channels, nil)
}

private func onset(_ samples: [Float]) -> Double {
    Double(samples.firstIndex { abs($0) > 0.02 } ?? samples.count) / 16_000
}

/// Packets at their timestamps.
@Suite struct SoundTimelineTests {
    /// - Parameter times: in seconds; each packet holds 0.1 s of ones.
    private func place(_ times: [Double]) -> (samples: [Float], timeline: SoundTimeline) {
        var timeline = SoundTimeline(sampleRate: 1_000, channels: 1)
        var samples: [Float] = []
        for time in times {
            timeline.place(.init(seconds: time, samples: [Float](repeating: 1, count: 100)))
            while let more = timeline.take() { samples += more }
        }
        return (samples, timeline)
    }

    @Test func packetsThatAdjoinAreJoined() {
        let jitter = (0..<50).map { Double($0) / 10 + ($0.isMultiple(of: 2) ? 0.009 : -0.009) }
        #expect(place(jitter).samples == [Float](repeating: 1, count: 5_000))
    }

    @Test(arguments: [0.05, 5, 3_600])
    func gapsAreSilence(gap: Double) {
        let (samples, timeline) = place([gap, gap + 0.1, 2 * gap + 0.2])
        let frames = Int(gap * 1_000)
        let expected = [frames, 200, frames, 100].enumerated().flatMap { index, count in
            [Float](repeating: index.isMultiple(of: 2) ? 0 : 1, count: count)
        }
        #expect(samples == expected && timeline.gaps.count == 2)
        #expect(abs(timeline.seconds - 2 * gap - 0.3) < 1e-9)
    }

    /// WMA's packets are seconds long, and their times those of their neighbors.
    @Test func coarseTimesAreNoGaps() {
        var timeline = SoundTimeline(sampleRate: 1_000, channels: 1, tolerance: SoundTimeline.coarse)
        for time in [1.95, 2.05, 2.3, 2.2] {
            timeline.place(.init(seconds: time, samples: [Float](repeating: 1, count: 100)))
        }
        #expect(timeline.gaps.isEmpty && timeline.take() == [Float](repeating: 1, count: 400))
        timeline.place(.init(seconds: 60, samples: [1]))
        #expect(timeline.gaps.count == 1)
    }

    /// WMA timestamps that have proved contiguous, even if late as a whole, reveal a missing second.
    @Test func coarseTimesThatAdjoinAreBelieved() {
        var timeline = SoundTimeline(sampleRate: 1_000, channels: 1, tolerance: SoundTimeline.coarse)
        for time in Array(0..<20) + Array(30..<40) {
            timeline.place(
                .init(seconds: 1.95 + Double(time) / 10, samples: [Float](repeating: 1, count: 100)))
        }
        #expect(timeline.gaps.count == 1 && abs(timeline.seconds - 4) < 0.01)
        #expect(timeline.gaps.allSatisfy { abs($0.lowerBound - 2) < 0.01 && abs($0.upperBound - 3) < 0.01 })
    }

    /// A clock that drifts by half a percent from the samples, for an hour.
    @Test(arguments: [0.995, 1.005])
    func driftIsFollowed(rate: Double) {
        let (samples, timeline) = place((0..<36_000).map { Double($0) / 10 * rate })
        #expect(abs(timeline.seconds - 3_600 * rate) < 0.1 && timeline.gaps.isEmpty)
        #expect(samples.allSatisfy { $0 == 1 }, "no hole, no click")
    }

    /// Joined streams restart at 0: nothing is dropped.
    @Test func aClockThatBeginsAnewGoesOn() {
        let (samples, timeline) = place([0, 0.1, 5, 0, 0.1, 0.2, 1.3])
        #expect(timeline.gaps.count == 2 && samples.count { $0 == 1 } == 700)
        #expect(abs(timeline.seconds - 6.5) < 1e-9)
    }
}

@Suite(.enabled(if: hasFFmpeg)) struct FFmpegSoundTests {
    private let spoken = Sounds.speech(seconds: 3)

    private func folder() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.write(Sounds.wave(spoken), to: "mono.wav")
        let other = Sounds.speech(seconds: 3, seed: 5)
        try directory.write(Sounds.wave(zip(spoken, other).flatMap { [$0, $1] }, channels: 2), to: "stereo.wav")
        return directory
    }

    /// Detected by content, despite wrong extensions.
    @Test(arguments: [
        ["aac", "adts"], ["aac", "ipod"], ["aac", "mpegts"], ["aac", "flv"], ["aac", "3gp"], ["wmav2", "asf"],
        ["ac3", "ac3"], ["wavpack", "wv"], ["alac", "caf"], ["mp2", "avi"], ["flac", "ogg"], ["libspeex", "ogg"],
        ["flac", "matroska"], ["tta", "tta"], ["adpcm_ms", "wav"], ["libopus", "webm"],
    ])
    func whatFFmpegDecodesIsHeard(kind: [String]) throws {
        let directory = try folder()
        do { try ffmpeg("-i", "@mono.wav", "-c:a", kind[0], "-f", kind[1], "@sound.txt", in: directory) } catch {
            return
        }
        let file = URL(filePath: "\(directory.path)/sound.txt")
        for source in [
            try SoundSources.open(file, channels: .mix),
            try SoundSources.open(Data(contentsOf: file), name: "standard input", channels: .mix),
        ] {
            let (channels, error) = read(source)
            #expect(error == nil && source.lost.isEmpty, "\(String(describing: error))")
            #expect(abs(Double(channels[0].count) / 16_000 - 3) < 0.2)
        }
    }

    @Test func aWAVFileOfAnotherCodecIsHeard() throws {
        let directory = try folder()
        try ffmpeg("-i", "@mono.wav", "-c:a", "ac3", "-f", "wav", "@a.wav", in: directory)
        let (channels, error) = read(try SoundSources.open(URL(filePath: "\(directory.path)/a.wav"), channels: .mix))
        #expect(error == nil && abs(Double(channels[0].count) / 16_000 - 3) < 0.2)
    }

    @Test func channelsAreKeptApart() throws {
        let directory = try folder()
        try ffmpeg("-i", "@stereo.wav", "-c:a", "flac", "-f", "matroska", "@stereo.mka", in: directory)
        let film = read(try SoundSources.open(URL(filePath: "\(directory.path)/stereo.mka"), channels: .split))
        let wave = read(try SoundSources.open(URL(filePath: "\(directory.path)/stereo.wav"), channels: .split))
        #expect(film.channels.count == 2 && film.channels == wave.channels)
        let mixed = read(try SoundSources.open(URL(filePath: "\(directory.path)/stereo.mka"), channels: .mix))
        #expect(
            mixed.channels
                == read(try SoundSources.open(URL(filePath: "\(directory.path)/stereo.wav"), channels: .mix)).channels)
        // Surround sound is downmixed by ffmpeg, within full scale.
        let loud = Sounds.wave(spoken.flatMap { [Float](repeating: $0 * 3, count: 6) }, channels: 6)
        try directory.write(loud, to: "loud.wav")
        try ffmpeg(
            "-channel_layout", "5.1", "-i", "@loud.wav", "-c:a", "flac", "-f", "matroska", "@loud.mka", in: directory)
        let surround = read(try SoundSources.open(URL(filePath: "\(directory.path)/loud.mka"), channels: .mix))
        #expect(surround.error == nil && surround.channels.count == 1)
        #expect((surround.channels[0].map { abs($0) }.max() ?? 2) <= 1)
    }

    /// Sound that begins late, and a pause of the recorder.
    @Test(arguments: [5.0, 900])
    func soundIsAtItsTime(delay: Double) throws {
        let directory = try folder()
        try ffmpeg(
            "-f", "lavfi", "-i", "color=d=2:r=1:s=16x16", "-itsoffset", "\(delay)", "-i", "@mono.wav", "-map", "0:v",
            "-map", "1:a", "-c:v", "mpeg4", "-c:a", "aac", "@late.mp4", in: directory)
        let late = read(try SoundSources.open(URL(filePath: "\(directory.path)/late.mp4"), channels: .mix))
        #expect(late.error == nil && abs(onset(late.channels[0]) - delay - onset(spoken)) < 0.1)
        try ffmpeg(
            "-i", "@mono.wav", "-af", "asetpts=PTS+if(gte(T\\,1)\\,\(delay)/TB\\,0)", "-c:a", "pcm_s16le", "-f",
            "matroska", "@gap.mka", in: directory)
        let gap = read(try SoundSources.open(URL(filePath: "\(directory.path)/gap.mka"), channels: .mix))
        let expected = 3 + delay
        #expect(gap.error == nil && abs(Double(gap.channels[0].count) / 16_000 - expected) < 0.15)
        let tail = gap.channels[0].suffix(24_000)
        #expect(zip(tail, spoken.suffix(24_000)).allSatisfy { abs($0 - $1) < 1e-4 })
    }

    /// WMA that was damaged in the middle: what follows is at its time.
    @Test func whatFollowsDamagedWMAIsAtItsTime() throws {
        let directory = try folder()
        try directory.write(Sounds.wave(Sounds.speech(seconds: 4)), to: "four.wav")
        do { try ffmpeg("-i", "@four.wav", "-c:a", "wmav2", "-b:a", "128k", "@a.wma", in: directory) } catch { return }
        var bytes = try Data(contentsOf: URL(filePath: "\(directory.path)/a.wma"))
        let whole = read(try SoundSources.open(bytes, name: "a", channels: .mix)).channels[0]
        for place in bytes.count * 2 / 5..<bytes.count * 3 / 5 { bytes[place] = UInt8(truncatingIfNeeded: place &* 37) }
        let source = try SoundSources.open(bytes, name: "a", channels: .mix)
        let (channels, error) = read(source)
        #expect(abs(channels[0].count - whole.count) < 1_600, "\(channels[0].count) of \(whole.count)")
        #expect(error?.code == .malformed && source.lost.count == 1)
        #expect(source.lost.allSatisfy { $0.lowerBound > 1 && $0.upperBound < 3.5 }, "\(source.lost)")
    }

    @Test func whatIsCutIsSaid() throws {
        let directory = try folder()
        try ffmpeg("-i", "@mono.wav", "-c:a", "aac", "-movflags", "faststart", "@a.m4a", in: directory)
        try ffmpeg("-i", "@mono.wav", "-c:a", "libopus", "@a.webm", in: directory)
        for name in ["a.m4a", "a.webm"] {
            let file = try Data(contentsOf: URL(filePath: "\(directory.path)/\(name)"))
            let source = try SoundSources.open(Data(file.prefix(file.count * 6 / 10)), name: name, channels: .mix)
            let (channels, error) = read(source)
            let seconds = Double(channels[0].count) / 16_000
            #expect(error?.code == .truncated && seconds > 0.5 && seconds < 2.5)
            #expect(source.lost.count == 1 && abs(source.lost[0].upperBound - 3) < 0.1)
            #expect(error?.expected == "a whole recording" && error?.found.hasSuffix("s of sound") == true)
            #expect(source.notices.allSatisfy { $0.text.hasPrefix("ffmpeg: ") && !$0.text.contains("0x5") })
        }
    }

    @Test func tracksAreChosen() throws {
        let directory = try folder()
        try ffmpeg(
            "-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-i", "@mono.wav", "-map", "0:a", "-map", "1:a", "-t", "3",
            "-c:a", "flac", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", "-metadata:s:a:1",
            "title=Dub", "-f", "matroska", "@two.mkv", in: directory)
        let file = URL(filePath: "\(directory.path)/two.mkv")
        let first = try SoundSources.open(file, channels: .mix)
        #expect(read(first).channels[0].allSatisfy { $0 == 0 })
        #expect(
            first.notices == [
                MediaNotice(
                    "2 sound tracks, 1 (eng), 2 (ger, Dub): track 1 is heard; --track chooses", isWarning: false)
            ])
        for track in [SoundTrack.number(2), .language(["de", "deu", "ger"])] {
            let second = try SoundSources.open(file, channels: .mix, track: track)
            #expect(onset(read(second).channels[0]) < 0.2 && second.notices.isEmpty)
        }
        let missing = #expect(throws: MediaError.self) {
            try SoundSources.open(file, channels: .mix, track: .number(3))
        }
        #expect(missing?.found == "tracks 1 (eng), 2 (ger, Dub)")
        let wave = URL(filePath: "\(directory.path)/mono.wav")
        #expect(throws: MediaError.self) { try SoundSources.open(wave, channels: .mix, track: .number(2)) }
        _ = try SoundSources.open(wave, channels: .mix, track: .number(1))
    }

    @Test func whatIsNoSoundIsNamed() throws {
        for (bytes, found) in [
            (Data("This is a sentence.".utf8), "something else"), (Data([0x89]) + Data("PNG\r\n\u{1A}\n".utf8), "PNG"),
        ] {
            let error = #expect(throws: MediaError.self) { try SoundSources.open(bytes, name: "a", channels: .mix) }
            #expect(error?.code == .unsupported && error?.found == found)
        }
    }
}

/// Without ffmpeg the error names the format and the package to install.
@Suite struct SoundFormatTests {
    @Test(arguments: [
        ("\0\0\0 ftypM4A ", "M4A (AAC or ALAC)"), ("\0\0\0 ftypM4B ", "M4B"), ("\0\0\0 ftyp3gp4", "3GP"),
        ("\0\0\0 ftypisom", "MP4"), ("\0\0\0 ftypqt  ", "QuickTime"), ("RIFF\0\0\0\0AVI LIST", "AVI"),
        ("#!AMR\n", "AMR"), ("wvpk", "WavPack"), ("FLV\u{1}", "FLV"), ("MAC ", "Monkey's Audio"),
    ])
    func containersAreKnown(head: String, name: String) {
        #expect(SoundFormat.container(Data(head.utf8)) == name)
        #expect(SoundFormat.container(Data("\0\0\0 ftypheic".utf8)) == nil)
    }

    @Test func codecsAreNamed() {
        #expect(SoundFormat.codec(wavFile([0, 0], format: 0xFF)) == "WAV with AAC")
        #expect(SoundFormat.codec(wavFile([0, 0], format: 0xF1AC)) == "WAV with FLAC")
        func ogg(_ packet: [UInt8]) -> Data {
            Data(
                Array("OggS".utf8) + [UInt8](repeating: 0, count: 22) + [1, UInt8(packet.count)] + packet + [
                    0, 0, 0, 0,
                ])
        }
        #expect(SoundFormat.codec(ogg(Array("Speex   ".utf8))) == "Ogg with Speex")
        #expect(SoundFormat.codec(ogg([0x80] + Array("theora".utf8))) == "Ogg with Theora")
        #expect(SoundFormat.codec(ogg([0x7F] + Array("FLAC".utf8))) == "Ogg with FLAC")
    }

    @Test func theInstallCommandIsNamed() {
        let error = #expect(throws: MediaError.self) {
            try ExternalProgram("ffmpeg", for: "a.wma", reads: "WMA or WMV", path: "/nowhere")
        }
        #expect(
            error?.description
                == "a.wma: expected ffmpeg on the PATH, which reads WMA or WMV, found none; install it with: apt-get install ffmpeg, or: brew install ffmpeg."
        )
    }
}
