@"%~dp0python" "%~dp0..\..\scripts\ott" %*
