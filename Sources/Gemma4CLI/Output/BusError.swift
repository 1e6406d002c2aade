#if os(Linux)
    import Foundation

    /// Handles SIGBUS: a page of a mapped file cannot be loaded, because the file was truncated while in use, or its
    /// disk failed. Ends the program with a message that names the file.
    ///
    /// Async-signal-safe: the handler does not allocate or lock, and calls only functions of signal-safety(7).
    enum BusError {
        private static let capacity = 1 << 16
        /// Buffer for reading `/proc/self/maps` in chunks; the last line of a chunk may be incomplete.
        private nonisolated(unsafe) static let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        private static let end: StaticString =
            ": cannot be read any more: it was cut or its disk failed while it was in use. Leave files in place until the program has ended, and get this one again.\n"

        static func takeSignal() {
            // Initialized here, because a signal handler must not initialize globals.
            _ = (buffer, end)
            var action = sigaction()
            action.sa_flags = SA_SIGINFO
            action.__sigaction_handler.sa_sigaction = { _, information, _ in
                BusError.endProgram(information.map { UInt(bitPattern: $0.pointee._sifields._sigfault.si_addr) } ?? 0)
            }
            sigaction(SIGBUS, &action, nil)
        }

        private static func endProgram(_ address: UInt) -> Never {
            write("gemma4: ")
            let path = path(of: address)
            if path.isEmpty {
                write("a file in use")
            } else {
                _ = Foundation.write(STDERR_FILENO, path.baseAddress, path.count)
            }
            write(end)
            Drafts.unlinkAll()
            _exit(ExitStatus.inputOutput.rawValue)
        }

        private static func write(_ text: StaticString) {
            _ = Foundation.write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
        }

        /// The path of the file mapped at `address`, in `buffer`; empty if there is none.
        ///
        /// A line of `maps`: `7f00-7fff r--p 00000000 fd:00 123     /path`.
        private static func path(of address: UInt) -> UnsafeBufferPointer<UInt8> {
            let none = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
            let maps: StaticString = "/proc/self/maps"
            let descriptor = maps.withUTF8Buffer { name in
                name.withMemoryRebound(to: CChar.self) { open($0.baseAddress!, O_RDONLY | O_CLOEXEC) }
            }
            guard descriptor >= 0 else { return none }
            var (filled, read) = (0, 1)
            while read > 0 {
                read = Foundation.read(descriptor, buffer + filled, capacity - filled)
                filled += max(0, read)
                var line = 0
                while let length = length(ofLineAt: line, before: filled) {
                    var place = line
                    let first = number(at: &place)
                    place += 1
                    let end = number(at: &place)
                    if first <= address, address < end {
                        while place < line + length, buffer[place] != UInt8(ascii: "/") { place += 1 }
                        return UnsafeBufferPointer(start: buffer + place, count: line + length - place)
                    }
                    line += length + 1
                }
                memmove(buffer, buffer + line, filled - line)
                filled -= line
            }
            return none
        }

        private static func length(ofLineAt start: Int, before end: Int) -> Int? {
            var place = start
            while place < end, buffer[place] != 0x0A { place += 1 }
            return place < end ? place - start : nil
        }

        /// Parses hexadecimal digits and advances `place`.
        private static func number(at place: inout Int) -> UInt {
            var number: UInt = 0
            while true {
                switch buffer[place] {
                case let digit where 0x30...0x39 ~= digit: number = number << 4 | UInt(digit - 0x30)
                case let digit where 0x61...0x66 ~= digit: number = number << 4 | UInt(digit - 0x61 + 10)
                default: return number
                }
                place += 1
            }
        }
    }
#endif
