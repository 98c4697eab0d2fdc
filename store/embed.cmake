# embed.cmake -- writes a text file as a C string: cmake -DFROM=... -DTO=... -DNAME=... -P embed.cmake
#
# Numbers rather than a string literal: no quoting, and no limit of 4,095 characters.
file(READ "${FROM}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
file(WRITE "${TO}" "static const char ${NAME}[] = {\n${bytes}0};\n")
